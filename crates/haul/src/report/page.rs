//! The frame of the page: style, escaping, tables.

/// Text as HTML shows it, in content and in attributes.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control() && c != '\n' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// A table; the first column names its row.
pub fn table(heads: &[&str], rows: &[Vec<String>]) -> String {
    let heads: String = heads.iter().map(|h| format!("<th scope=\"col\">{}</th>", escape(h))).collect();
    let row = |cells: &Vec<String>| {
        let cells = cells.iter().enumerate().map(|(i, cell)| match i {
            0 => format!("<th scope=\"row\">{}</th>", escape(cell)),
            _ => format!("<td>{}</td>", escape(cell)),
        });
        format!("<tr>{}</tr>\n", cells.collect::<String>())
    };
    let rows: String = rows.iter().map(row).collect();
    format!(
        "<div class=\"wide\"><table><thead><tr>{heads}</tr></thead><tbody>\n{rows}</tbody></table></div>\n"
    )
}

/// The whole document around its body. It asks nobody for anything.
pub fn document(title: &str, body: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>{}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n{body}</main>\n</body>\n</html>\n",
        escape(title)
    )
}

const STYLE: &str = "
:root { --paper: #ffffff; --ink: #1b1f24; --soft: #57606a; --rule: #d5dae0; --fill: #f4f6f8;
  --l0: #1a5fb4; --l1: #b5470b; --l2: #6a1b9a; --mark: #57606a; --good: #1a6b2d; --bad: #a4161a; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #14171a; --ink: #e8eaed; --soft: #a9b1ba; --rule: #394048; --fill: #1d2125;
    --l0: #7fb4ff; --l1: #ffad73; --l2: #d9a6f2; --mark: #a9b1ba; --good: #7fd494; --bad: #ff9a9a; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 60rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .25rem; overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; margin: 2.5rem 0 .5rem; padding-top: .75rem; border-top: 1px solid var(--rule); }
h3 { font-size: 1.05rem; margin: 1.75rem 0 0; }
p { margin: .25rem 0 .75rem; } .about { color: var(--soft); }
.good { color: var(--good); } .bad { color: var(--bad); }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); gap: .5rem; margin: 1rem 0; padding: 0; list-style: none; }
.figures li { background: var(--fill); border-radius: .4rem; padding: .6rem .8rem; }
.figures b { display: block; font-size: 1.35rem; font-variant-numeric: tabular-nums; }
.figures span { color: var(--soft); font-size: .9rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: .92rem; }
th, td { text-align: right; padding: .3rem .6rem; border-bottom: 1px solid var(--rule); vertical-align: top; }
thead th { color: var(--soft); font-weight: 600; } tbody th { font-weight: 400; } a { color: var(--l0); }
th:first-child, td.text, table.text td, table.text th { text-align: left; }
svg { display: block; width: 100%; height: auto; overflow: visible; }
svg text { fill: var(--soft); font: 12px system-ui, sans-serif; } svg text.number { fill: var(--ink); font-size: 11px; }
.grid { stroke: var(--rule); stroke-width: 1; } .mark { stroke: var(--mark); stroke-width: 1; stroke-dasharray: 3 3; }
polyline { fill: none; stroke-width: 1.8; stroke-linejoin: round; }
polyline.l0 { stroke: var(--l0); } polyline.l1 { stroke: var(--l1); stroke-dasharray: 7 3; } polyline.l2 { stroke: var(--l2); stroke-dasharray: 2 3; }
.legend { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; list-style: none; margin: 0; padding: 0; font-size: .92rem; }
.legend li::before { content: ''; display: inline-block; width: 1.6rem; margin-right: .4rem; vertical-align: middle; border-top: 3px solid; }
.legend .l0::before { border-color: var(--l0); } .legend .l1::before { border-color: var(--l1); border-top-style: dashed; } .legend .l2::before { border-color: var(--l2); border-top-style: dotted; }
details { margin: .4rem 0; } summary { cursor: pointer; color: var(--soft); }
ol.events { padding-left: 2rem; } ol.events li { margin: .15rem 0; overflow-wrap: anywhere; } time { color: var(--soft); font-variant-numeric: tabular-nums; } ol.events time { margin-right: .5rem; }
pre { background: var(--fill); padding: .8rem 1rem; border-radius: .4rem; overflow-x: auto; font-size: .88rem; }
code { font-family: ui-monospace, monospace; }
@media (max-width: 44rem) { svg text, svg text.number { font-size: 20px; } polyline { stroke-width: 3.2; } }
@media print {
  :root { --paper: #fff; --ink: #000; --soft: #333; --rule: #bbb; --fill: #fff; --l0: #1a5fb4; --l1: #b5470b; --l2: #6a1b9a; --mark: #333; --good: #000; --bad: #000; }
  main { max-width: none; padding: 0; } section, tr, .figures li { break-inside: avoid; } details:not([open]) { display: none; } }
";
