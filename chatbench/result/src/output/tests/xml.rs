//! A reader of XML, small and strict: it knows elements, attributes, text and the five entities, and nothing else.
//!
//! Invariant: what is not well-formed is an error.

/// An element: its name, its attributes, its text without that of its children, and these.
#[derive(Debug, Default)]
pub struct Element {
    pub name: String,
    pub attributes: Vec<(String, String)>,
    pub text: String,
    pub children: Vec<Element>,
}

impl Element {
    /// The value of an attribute.
    pub fn get(&self, name: &str) -> &str {
        let found = self.attributes.iter().find(|(attribute, _)| attribute == name);
        found.map(|(_, value)| value.as_str()).unwrap_or_else(|| panic!("{name} of {}", self.name))
    }

    /// It and all below it with this name.
    pub fn all<'a>(&'a self, name: &'a str) -> Vec<&'a Element> {
        let own = (self.name == name).then_some(self);
        own.into_iter().chain(self.children.iter().flat_map(|child| child.all(name))).collect()
    }
}

/// The root of a document.
pub fn parse(text: &str) -> Result<Element, String> {
    let allowed = |letter: char| matches!(letter, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    if let Some(letter) = text.chars().find(|letter| !allowed(*letter)) {
        return Err(format!("{letter:?} has no place in XML"));
    }
    let mut rest =
        text.strip_prefix("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n").ok_or("no declaration")?;
    let root = element(&mut rest)?;
    if rest.trim().is_empty() { Ok(root) } else { Err(format!("after the root: {rest}")) }
}

fn element(rest: &mut &str) -> Result<Element, String> {
    *rest = rest.strip_prefix('<').ok_or_else(|| format!("no element: {rest:.20}"))?;
    let mut found = Element { name: name(rest)?, ..Element::default() };
    loop {
        *rest = rest.trim_start();
        if let Some(after) = rest.strip_prefix("/>") {
            *rest = after;
            return Ok(found);
        }
        if let Some(after) = rest.strip_prefix('>') {
            *rest = after;
            break;
        }
        let attribute = name(rest)?;
        *rest = rest.strip_prefix("=\"").ok_or("an attribute without a value")?;
        let (value, after) = rest.split_once('"').ok_or("an attribute without an end")?;
        if value.contains('<') || found.attributes.iter().any(|(known, _)| *known == attribute) {
            return Err(format!("{attribute}={value}"));
        }
        found.attributes.push((attribute, plain(value)?));
        *rest = after;
    }
    loop {
        let (text, _) = rest.split_once('<').ok_or("an element without an end")?;
        found.text += &plain(text)?;
        *rest = &rest[text.len()..];
        if let Some(after) = rest.strip_prefix("</") {
            *rest = after;
            let end = name(rest)?;
            *rest = rest.strip_prefix('>').ok_or("an end without an end")?;
            return if end == found.name { Ok(found) } else { Err(format!("{} ends as {end}", found.name)) };
        }
        found.children.push(element(rest)?);
    }
}

fn name(rest: &mut &str) -> Result<String, String> {
    let end = rest.find(|letter: char| !letter.is_ascii_alphanumeric()).unwrap_or(rest.len());
    let (name, after) = rest.split_at(end);
    *rest = after;
    if name.is_empty() { Err(format!("no name: {after:.20}")) } else { Ok(name.to_owned()) }
}

fn plain(text: &str) -> Result<String, String> {
    if text.contains("]]>") {
        return Err("]]> in a text".to_owned());
    }
    let mut parts = text.split('&');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (entity, after) = part.split_once(';').ok_or_else(|| format!("a bare &: {part}"))?;
        plain.push(match entity {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            other => {
                let code = other.strip_prefix('#').and_then(|code| code.parse().ok());
                code.and_then(char::from_u32).ok_or_else(|| format!("&{other};"))?
            }
        });
        plain += after;
    }
    Ok(plain)
}

#[test]
fn what_is_not_well_formed_is_seen() {
    let parsed = |text: &str| parse(&format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{text}"));
    assert_eq!(parsed("<a b=\"&lt;&#10;\"><c/>x</a>").unwrap().get("b"), "<\n");
    for bad in [
        "<a>",
        "<a></b>",
        "<a b=\"<\"/>",
        "<a>&</a>",
        "<a b=\"1\" b=\"2\"/>",
        "<a/><b/>",
        "<a>]]></a>",
        "<a>\u{1}</a>",
        "a",
    ] {
        assert!(parsed(bad).is_err(), "{bad}");
    }
}
