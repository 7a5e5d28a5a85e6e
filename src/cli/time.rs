//! Times and durations as people type them: RFC 3339, epoch milliseconds, `-1h30m`.

const DAY_MS: i64 = 86_400_000;

/// A time in epoch milliseconds: a number, an RFC 3339 time or date (UTC), or a duration back from `now_ms`.
pub fn parse_time(text: &str, now_ms: i64) -> Result<i64, String> {
    const FORM: &str = "write epoch milliseconds, 2026-11-21T08:00:00Z, or a span back from now such as -1h30m";
    if let Some(span) = text.strip_prefix('-') {
        return parse_span(span).map(|span| now_ms.saturating_sub(span)).ok_or_else(|| FORM.to_owned());
    }
    if let Ok(millis) = text.parse::<i64>() {
        return Ok(millis);
    }
    parse_rfc3339(text).ok_or_else(|| FORM.to_owned())
}

/// A duration: `1h30m`, or ISO 8601 as Kafka's tools take it, `P1DT1H30M`. Milliseconds.
pub fn parse_duration(text: &str) -> Result<i64, String> {
    let iso = |text: &str| {
        let text = text.strip_prefix(['P', 'p'])?.to_ascii_lowercase();
        let (days, clock) = text.split_once('t').unwrap_or((&text, ""));
        // Before the T there are days and weeks only: a month has no length.
        let weeks = days.strip_suffix('w').map(|weeks| weeks.parse::<i64>().ok()?.checked_mul(7 * DAY_MS));
        let days = if days.is_empty() { Some(0) } else { weeks.unwrap_or_else(|| only_unit(days, 'd', DAY_MS)) };
        let clock = if clock.is_empty() { Some(0) } else { parse_span(clock) };
        let written = text.len() > 1 && !text.ends_with('t') && !text.contains("ms");
        days?.checked_add(clock?).filter(|_| written)
    };
    parse_span(text).or_else(|| iso(text)).ok_or_else(|| "write a duration such as 1h30m or PT1H30M".to_owned())
}

fn only_unit(text: &str, unit: char, factor: i64) -> Option<i64> {
    text.strip_suffix(unit)?.parse::<i64>().ok().filter(|number| *number >= 0)?.checked_mul(factor)
}

/// `1h30m`, `250ms`, `2d`: milliseconds.
pub fn parse_span(text: &str) -> Option<i64> {
    let mut rest = text;
    let mut total = 0_i64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, tail) = rest.split_at_checked(digits)?;
        let letters = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at_checked(letters)?;
        let factor = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => DAY_MS,
            _ => return None,
        };
        total = total.checked_add(number.parse::<i64>().ok()?.checked_mul(factor)?)?;
        rest = tail;
    }
    (!text.is_empty()).then_some(total)
}

fn parse_rfc3339(text: &str) -> Option<i64> {
    let (date, time) = text.split_once(['T', 't', ' ']).unwrap_or((text, "00:00:00Z"));
    let mut date = date.splitn(3, '-').map(number);
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let (clock, zone_ms) = split_zone(time)?;
    let mut clock = clock.splitn(3, ':');
    let hour = number(clock.next()?)?;
    let minute = number(clock.next()?)?;
    let (second, fraction_ms) = match clock.next() {
        Some(seconds) => split_fraction(seconds)?,
        None => (0, 0),
    };
    let plausible = (1..=12).contains(&month) && (1..=days_in_month(year, month)).contains(&day);
    if !plausible || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let clock_ms = ((hour * 60 + minute) * 60 + second) * 1_000 + fraction_ms;
    Some(days_from_epoch(year, month, day) * DAY_MS + clock_ms - zone_ms)
}

fn split_zone(time: &str) -> Option<(&str, i64)> {
    if let Some(clock) = time.strip_suffix(['Z', 'z']) {
        return Some((clock, 0));
    }
    match time.rfind(['+', '-']) {
        Some(at) => {
            let (clock, zone) = time.split_at_checked(at)?;
            let (hours, minutes) = zone.get(1..)?.split_once(':')?;
            let offset = (number(hours)? * 60 + number(minutes)?) * 60_000;
            Some((clock, if zone.starts_with('-') { -offset } else { offset }))
        }
        None => Some((time, 0)),
    }
}

fn split_fraction(seconds: &str) -> Option<(i64, i64)> {
    let Some((whole, fraction)) = seconds.split_once('.') else { return Some((number(seconds)?, 0)) };
    let millis: String = fraction.chars().chain("000".chars()).take(3).collect();
    Some((number(whole)?, number(&millis)?))
}

fn number(text: &str) -> Option<i64> {
    let plain = !text.is_empty() && text.len() <= 4 && text.bytes().all(|byte| byte.is_ascii_digit());
    if plain { text.parse().ok() } else { None }
}

fn days_in_month(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01, counted in years that begin with March, so that a leap day is the last of its year.
fn days_from_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    let era_day = year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    era_day + (month * 306 + 5) / 10 + day - 1 - 719_468
}

/// Now, in epoch milliseconds.
pub fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
