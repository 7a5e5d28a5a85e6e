//! From the parsed struct to code.

use proc_macro2::{Literal, TokenStream};
use quote::quote;

use crate::parse::{Field, Structure};

pub fn expand(structure: &Structure) -> TokenStream {
    let default = default(structure);
    let fields = structure_impl(structure);
    let message = message_impl(structure);
    let debug = redacted_debug(structure);
    quote! {
        const _: () = {
            use ::stratalog_protocol::codec;
            #default
            #fields
            #message
            #debug
        };
    }
}

/// `Debug` of a struct with a secret: that it is there and how long, never what. Such a struct derives none itself.
fn redacted_debug(structure: &Structure) -> Option<TokenStream> {
    let name = &structure.name;
    let text = name.to_string();
    let fields = structure.fields.iter().map(|field| {
        let (ident, label) = (&field.name, field.name.to_string());
        match field.secret {
            true => quote!(.field(#label, &codec::Redacted::of(&self.#ident))),
            false => quote!(.field(#label, &self.#ident)),
        }
    });
    structure.fields.iter().any(|field| field.secret).then(|| {
        quote! {
            impl ::core::fmt::Debug for #name {
                fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                    f.debug_struct(#text)#(#fields)*.finish()
                }
            }
        }
    })
}

fn default(structure: &Structure) -> TokenStream {
    let name = &structure.name;
    let values = structure.fields.iter().map(|field| {
        let name = &field.name;
        let value = default_value(field);
        quote!(#name: #value)
    });
    quote! {
        impl ::core::default::Default for #name {
            fn default() -> Self {
                Self { #(#values,)* }
            }
        }
    }
}

fn default_value(field: &Field) -> TokenStream {
    match &field.default {
        Some(value) => quote!(#value),
        None if field.is_option() => quote!(Some(::core::default::Default::default())),
        None => quote!(::core::default::Default::default()),
    }
}

fn structure_impl(structure: &Structure) -> TokenStream {
    let name = &structure.name;
    let schema = structure.fields.iter().map(schema);
    let always = structure.fields.iter().filter(|f| f.tag.is_none() && f.since.is_none() && f.until.is_none());
    let always = always.map(|field| &field.ty);
    let reads = structure.fields.iter().map(read_untagged);
    let writes = structure.fields.iter().filter(|field| field.tag.is_none()).map(write_untagged);
    let hidden = structure.fields.iter().filter(|field| field.tag.is_some()).map(check_hidden_tagged);
    let mutable = structure.fields.iter().any(|field| field.tag.is_some()).then(|| quote!(mut));
    let read_tagged = read_tagged(structure);
    let write_tagged = write_tagged(structure);
    quote! {
        impl codec::Structure for #name {
            const MIN_BYTES: usize = codec::at_least_one_byte(0 #(+ <#always as codec::Field>::MIN_BYTES)*);
            const FIELDS: &'static [codec::FieldSchema] = &[#(#schema),*];

            fn read_fields(d: &mut codec::Decoder, v: codec::Version) -> ::core::result::Result<Self, codec::DecodeError> {
                let #mutable out = Self { #(#reads,)* };
                if v.flexible {
                    #read_tagged
                }
                Ok(out)
            }

            fn write_fields(&self, e: &mut codec::Encoder, v: codec::Version) -> ::core::result::Result<(), codec::EncodeError> {
                #(#writes)*
                #(#hidden)*
                if v.flexible {
                    #write_tagged
                }
                Ok(())
            }
        }
    }
}

fn schema(field: &Field) -> TokenStream {
    let name = field.name.to_string();
    let ty = &field.ty;
    let since = field.since.map_or(quote!(i16::MIN), literal);
    let until = field.until.map_or(quote!(i16::MAX), literal);
    let nullable = match (field.nullable, field.is_option()) {
        (Some(since), _) => {
            let since = literal(since);
            quote!(Some(#since))
        }
        (None, true) => quote!(Some(i16::MIN)),
        (None, false) if field.not_null => quote!(None),
        (None, false) => quote!(if <#ty as codec::Field>::NULLABLE { Some(i16::MIN) } else { None }),
    };
    let tag = field.tag.map_or(quote!(None), |tag| quote!(Some(#tag)));
    quote! {
        codec::FieldSchema {
            name: #name,
            wire: <#ty as codec::Field>::WIRE,
            since: #since,
            until: #until,
            nullable_since: #nullable,
            tag: #tag,
        }
    }
}

/// The field's value in the struct literal: read if the version has it, else the default. Tagged ones come later.
fn read_untagged(field: &Field) -> TokenStream {
    let name = &field.name;
    let default = default_value(field);
    if field.tag.is_some() {
        return quote!(#name: #default);
    }
    let read = match field.nullable {
        Some(since) => {
            let since = literal(since);
            quote!(codec::read_nullable_since(d, v, #since)?)
        }
        None if field.not_null => quote!(codec::Records::read_present(d, v)?),
        None => quote!(codec::Field::read(d, v)?),
    };
    match in_version(field) {
        Some(condition) => quote!(#name: if #condition { #read } else { #default }),
        None => quote!(#name: #read),
    }
}

fn write_untagged(field: &Field) -> TokenStream {
    let name = &field.name;
    let text = name.to_string();
    let write = match field.nullable {
        Some(since) => {
            let since = literal(since);
            quote!(codec::write_nullable_since(&self.#name, e, v, #since, #text)?;)
        }
        None if field.not_null => quote!(self.#name.write_present(e, v)?;),
        None => quote!(codec::Field::write(&self.#name, e, v)?;),
    };
    match in_version(field) {
        Some(condition) if field.ignorable => quote!(if #condition { #write }),
        Some(condition) => {
            let check = check_default(field);
            quote!(if #condition { #write } else { #check })
        }
        None => write,
    }
}

/// A tagged field that the version cannot carry must hold its default.
fn check_hidden_tagged(field: &Field) -> TokenStream {
    if field.ignorable {
        return TokenStream::new();
    }
    let check = check_default(field);
    match in_version(field) {
        Some(condition) => quote!(if !(v.flexible && #condition) { #check }),
        None => quote!(if !v.flexible { #check }),
    }
}

fn check_default(field: &Field) -> TokenStream {
    let text = field.name.to_string();
    let differs = differs(field);
    quote!(codec::absent(!(#differs), #text, v)?;)
}

fn differs(field: &Field) -> TokenStream {
    let name = &field.name;
    let ty = &field.ty;
    let default = default_value(field);
    match &field.default {
        Some(syn::Expr::Path(path)) if path.path.is_ident("None") => quote!(self.#name.is_some()),
        Some(_) => quote!(self.#name != #default),
        None if field.is_option() => quote!(self.#name.as_ref() != Some(&::core::default::Default::default())),
        None => quote!(self.#name != <#ty as ::core::default::Default>::default()),
    }
}

fn read_tagged(structure: &Structure) -> TokenStream {
    let arms = structure.fields.iter().filter_map(|field| {
        let tag = Literal::u32_unsuffixed(field.tag?);
        let name = &field.name;
        let guard = in_version(field).map(|condition| quote!(if #condition));
        Some(quote!(#tag #guard => out.#name = codec::Field::read(d, v)?,))
    });
    let arms = arms.collect::<Vec<_>>();
    if arms.is_empty() {
        return quote!(codec::read_tagged_fields(d, &mut |_, _| Ok(false))?;);
    }
    quote! {
        codec::read_tagged_fields(d, &mut |tag, d| {
            match tag {
                #(#arms)*
                _ => return Ok(false),
            }
            Ok(true)
        })?;
    }
}

fn write_tagged(structure: &Structure) -> TokenStream {
    let writes = structure.fields.iter().filter_map(|field| {
        let tag = field.tag?;
        let name = &field.name;
        let differs = differs(field);
        let condition = in_version(field).map(|condition| quote!(#condition &&));
        Some(quote!(if #condition #differs { e.write_tag(&mut tags, #tag, &self.#name, v)?; }))
    });
    let writes = writes.collect::<Vec<_>>();
    if writes.is_empty() {
        return quote!(e.write_uvarint(0););
    }
    quote! {
        let mut tags = e.open_tags();
        #(#writes)*
        e.close_tags(tags);
    }
}

/// Whether the version at hand has the field; `None` if every version has.
fn in_version(field: &Field) -> Option<TokenStream> {
    let since = field.since.map(literal);
    let until = field.until.map(literal);
    match (since, until) {
        (Some(since), Some(until)) => Some(quote!((#since..=#until).contains(&v.number))),
        (Some(since), None) => Some(quote!(v.number >= #since)),
        (None, Some(until)) => Some(quote!(v.number <= #until)),
        (None, None) => None,
    }
}

fn message_impl(structure: &Structure) -> TokenStream {
    let Some(versions) = &structure.message else {
        return TokenStream::new();
    };
    let name = &structure.name;
    let text = name.to_string();
    let (min, max) = (literal(versions.min), literal(versions.max));
    let flexible = versions.flexible.map_or(quote!(i16::MAX), literal);
    quote! {
        impl codec::Message for #name {
            const NAME: &'static str = #text;
            const MIN_VERSION: i16 = #min;
            const MAX_VERSION: i16 = #max;
            const FLEXIBLE_SINCE: i16 = #flexible;
        }
    }
}

fn literal(value: i16) -> TokenStream {
    let literal = Literal::i16_suffixed(value);
    quote!(#literal)
}
