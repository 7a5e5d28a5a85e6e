//! From attributes to what is to be generated.

use syn::meta::ParseNestedMeta;
use syn::{Data, DeriveInput, Error, Expr, Fields, Ident, LitInt, Result, Type};

pub struct Structure {
    pub name: Ident,
    /// Present for a message with versions of its own.
    pub message: Option<Versions>,
    pub fields: Vec<Field>,
}

pub struct Versions {
    pub min: i16,
    pub max: i16,
    pub flexible: Option<i16>,
}

pub struct Field {
    pub name: Ident,
    pub ty: Type,
    pub since: Option<i16>,
    pub until: Option<i16>,
    pub nullable: Option<i16>,
    pub not_null: bool,
    pub tag: Option<u32>,
    pub default: Option<Expr>,
    pub ignorable: bool,
    pub secret: bool,
}

impl Field {
    pub fn is_option(&self) -> bool {
        matches!(&self.ty, Type::Path(path) if path.path.segments.last().is_some_and(|s| s.ident == "Option"))
    }
}

pub fn structure(input: &DeriveInput) -> Result<Structure> {
    let Data::Struct(data) = &input.data else {
        return Err(Error::new_spanned(input, "a message is a struct"));
    };
    let named = match &data.fields {
        Fields::Named(named) => named.named.iter().collect::<Vec<_>>(),
        Fields::Unit => Vec::new(),
        Fields::Unnamed(fields) => return Err(Error::new_spanned(fields, "the fields of a message have names")),
    };
    let fields = named.into_iter().map(field).collect::<Result<Vec<_>>>()?;
    check_tags(&fields)?;
    Ok(Structure { name: input.ident.clone(), message: versions(input)?, fields })
}

fn versions(input: &DeriveInput) -> Result<Option<Versions>> {
    let Some(attribute) = input.attrs.iter().find(|attribute| attribute.path().is_ident("message")) else {
        return Ok(None);
    };
    let mut range = None;
    let mut flexible = None;
    attribute.parse_nested_meta(|meta| {
        if meta.path.is_ident("versions") {
            let value = meta.value()?;
            let min = value.parse::<LitInt>()?.base10_parse()?;
            value.parse::<syn::Token![..=]>()?;
            range = Some((min, value.parse::<LitInt>()?.base10_parse()?));
            Ok(())
        } else if meta.path.is_ident("flexible") {
            flexible = Some(integer(&meta)?);
            Ok(())
        } else {
            Err(meta.error("expected versions or flexible"))
        }
    })?;
    let Some((min, max)) = range else {
        return Err(Error::new_spanned(attribute, "expected versions = MIN..=MAX"));
    };
    Ok(Some(Versions { min, max, flexible }))
}

fn field(field: &syn::Field) -> Result<Field> {
    let Some(name) = field.ident.clone() else {
        return Err(Error::new_spanned(field, "the fields of a message have names"));
    };
    let mut parsed = Field {
        name,
        ty: field.ty.clone(),
        since: None,
        until: None,
        nullable: None,
        not_null: false,
        tag: None,
        default: None,
        ignorable: false,
        secret: false,
    };
    for attribute in field.attrs.iter().filter(|attribute| attribute.path().is_ident("field")) {
        attribute.parse_nested_meta(|meta| parsed.set(&meta))?;
    }
    if parsed.nullable.is_some() && !parsed.is_option() {
        return Err(Error::new_spanned(field, "only an Option has a first nullable version"));
    }
    if parsed.tag.is_some() && parsed.not_null {
        return Err(Error::new_spanned(field, "records are no tagged field"));
    }
    Ok(parsed)
}

impl Field {
    fn set(&mut self, meta: &ParseNestedMeta) -> Result<()> {
        let name = meta.path.require_ident()?.to_string();
        match name.as_str() {
            "since" => self.since = Some(integer(meta)?),
            "until" => self.until = Some(integer(meta)?),
            "nullable" => self.nullable = Some(integer(meta)?),
            "tag" => self.tag = Some(meta.value()?.parse::<LitInt>()?.base10_parse()?),
            "default" => self.default = Some(meta.value()?.parse()?),
            "not_null" => self.not_null = true,
            "ignorable" => self.ignorable = true,
            "secret" => self.secret = true,
            _ => return Err(meta.error("expected since, until, nullable, not_null, tag, default, ignorable or secret")),
        }
        Ok(())
    }
}

fn integer(meta: &ParseNestedMeta) -> Result<i16> {
    meta.value()?.parse::<LitInt>()?.base10_parse()
}

/// Tagged fields are written in the order of the struct, which must be the order of their tags.
fn check_tags(fields: &[Field]) -> Result<()> {
    let tagged = fields.iter().filter_map(|field| field.tag.map(|tag| (tag, field)));
    let mut previous = None;
    for (tag, field) in tagged {
        if previous.is_some_and(|previous| tag <= previous) {
            return Err(Error::new(field.name.span(), "tagged fields stand in the order of their tags"));
        }
        previous = Some(tag);
    }
    Ok(())
}
