//! `proc-title-template`: the name under which the process shows in `ps`.

/// The variables that a template may use.
const VARIABLES: [&str; 7] = ["title", "listen-addr", "server-mode", "config-file", "port", "tls-port", "unixsocket"];

/// Replaces each `{variable}` of `template` by its value, and `{{` by a brace; `None` if a variable is not closed
/// or unknown. Blanks at both ends are cut off.
pub fn expand<'a>(template: &[u8], value_of: impl Fn(&str) -> &'a str) -> Option<Vec<u8>> {
    let mut title = Vec::new();
    let mut rest = template;
    while let Some((&byte, after)) = rest.split_first() {
        rest = match (byte, after) {
            (b'{', [b'{', after @ ..]) => {
                title.push(b'{');
                after
            }
            (b'{', after) => {
                let end = after.iter().position(|byte| *byte == b'}')?;
                let name = VARIABLES.iter().find(|name| name.as_bytes() == &after[..end])?;
                title.extend(value_of(name).bytes());
                &after[end + 1..]
            }
            (byte, after) => {
                title.push(byte);
                after
            }
        };
    }
    Some(title.trim_ascii().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates() {
        let cases = [
            ("{title} {listen-addr} {server-mode}", Some("redis-server *:6379")),
            (" x{{{title}} ", Some("x{redis-server}")),
            ("plain", Some("plain")),
            ("{bad}", None),
            ("{title", None),
        ];
        for (template, title) in cases {
            let value_of = |name: &str| match name {
                "title" => "redis-server",
                "listen-addr" => "*:6379",
                _ => "",
            };
            assert_eq!(expand(template.as_bytes(), value_of).as_deref(), title.map(str::as_bytes), "{template}");
        }
    }
}
