//! One plot as SVG with its numbers as a table: lines over time, gaps left open, events as numbered marks.

use super::page::escape;
use super::series::Point;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 200.0;
/// Room for values in the type of phones, which is larger against the plot.
const LEFT: f64 = 88.0;
const RIGHT: f64 = 8.0;
const TOP: f64 = 18.0;
const BOTTOM: f64 = 24.0;
/// Width of a digit in the type of phones.
const DIGIT: f64 = 13.0;
/// Rows of the table below a plot.
const ROWS: usize = 24;

/// A line.
pub struct Line {
    pub name: &'static str,
    pub of: fn(&Point) -> f64,
}

/// What is plotted.
pub struct Plot<'a> {
    pub id: &'static str,
    pub title: &'static str,
    /// What one can read from it.
    pub about: &'static str,
    pub lines: &'a [Line],
    /// A value as people read it.
    pub say: fn(f64) -> String,
    /// A moment as people read it.
    pub say_at: &'a dyn Fn(i64) -> String,
}

/// The numbers of marks, and where they stand; those that would stand on each other are one: `4–6`.
fn labels(marks: &[(usize, i64)], x: &dyn Fn(i64) -> f64) -> Vec<(f64, String)> {
    let mut groups: Vec<(f64, f64, usize, usize)> = Vec::new();
    let half = |first: usize, last: usize| {
        let text =
            if first == last { first.to_string().len() } else { format!("{first}–{last}").chars().count() };
        text as f64 * DIGIT / 2.0
    };
    for (number, at) in marks {
        let at = x(*at);
        groups.push((at, at, *number, *number));
        // A group that grew may touch the one before it.
        while let [.., (left, end, first, last), (begin, right, next, most)] = groups[..] {
            let room = (begin + right) / 2.0 - (left + end) / 2.0;
            if room >= half(first, last) + half(next, most) + DIGIT / 2.0 {
                break;
            }
            groups.truncate(groups.len() - 2);
            groups.push((left, right, first, most));
        }
    }
    let say = |(left, right, first, last): &(f64, f64, usize, usize)| {
        let numbers = if first == last { first.to_string() } else { format!("{first}–{last}") };
        ((left + right) / 2.0, numbers)
    };
    groups.iter().map(say).collect()
}

impl Plot<'_> {
    /// The figure. `marks`: numbered moments, ms since the start; `long`: ms of the whole plot.
    pub fn figure(&self, points: &[Point], marks: &[(usize, i64)], long: i64) -> String {
        let (id, title) = (self.id, escape(self.title));
        let highest = self.lines.iter().flat_map(|l| points.iter().map(l.of)).fold(0.0, f64::max);
        let top = nice(highest);
        let x = |at: i64| LEFT + (WIDTH - LEFT - RIGHT) * at as f64 / long.max(1) as f64;
        let y = |v: f64| HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (v / top).clamp(0.0, 1.0);
        let mut svg = format!(
            "<section aria-labelledby=\"{id}\">\n<h3 id=\"{id}\">{title}</h3>\n<p class=\"about\">{}</p>\n{}<div class=\"plot\">\
             <svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}: {}\">\n",
            escape(self.about),
            self.legend(),
            escape(&self.spoken(points))
        );
        for part in 0..=4 {
            let value = top * f64::from(part) / 4.0;
            let at = y(value);
            svg.push_str(&format!(
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{:.0}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/><text class=\"axis\" x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\n",
                WIDTH - RIGHT, LEFT - 6.0, at + 4.0, escape(&(self.say)(value))
            ));
        }
        for part in 0..=4i64 {
            let at = long * part / 4;
            let anchor = if part == 0 {
                "start"
            } else if part == 4 {
                "end"
            } else {
                "middle"
            };
            svg.push_str(&format!(
                "<text class=\"axis\" x=\"{:.1}\" y=\"{:.0}\" text-anchor=\"{anchor}\">{}</text>\n",
                x(at),
                HEIGHT - 7.0,
                escape(&(self.say_at)(at))
            ));
        }
        for (_, at) in marks {
            let at = x(*at);
            svg.push_str(&format!(
                "<line class=\"mark\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{TOP}\" y2=\"{:.0}\"/>\n",
                HEIGHT - BOTTOM
            ));
        }
        for (at, numbers) in labels(marks, &x) {
            svg.push_str(&format!(
                "<text class=\"number\" x=\"{at:.1}\" y=\"{:.0}\" text-anchor=\"middle\">{numbers}</text>\n",
                TOP - 5.0
            ));
        }
        for (i, line) in self.lines.iter().enumerate() {
            for piece in points.chunk_by(|_, next| !next.after_gap) {
                svg.push_str(&format!(
                    "<polyline class=\"l{i}\" points=\"{}\"/>\n",
                    coordinates(piece, line.of, &x, &y)
                ));
            }
        }
        svg.push_str("</svg></div>\n");
        svg + &self.table(points) + "</section>\n"
    }

    fn legend(&self) -> String {
        if self.lines.len() < 2 {
            return String::new();
        }
        let keys =
            self.lines.iter().enumerate().map(|(i, l)| format!("<li class=\"l{i}\">{}</li>", escape(l.name)));
        format!("<ul class=\"legend\">{}</ul>\n", keys.collect::<String>())
    }

    /// The plot in a sentence.
    fn spoken(&self, points: &[Point]) -> String {
        let of_line = |l: &Line| {
            let values = || points.iter().map(l.of);
            let mean = values().sum::<f64>() / points.len().max(1) as f64;
            format!(
                "{} on average {}, at most {}",
                l.name,
                (self.say)(mean),
                (self.say)(values().fold(0.0, f64::max))
            )
        };
        self.lines.iter().map(of_line).collect::<Vec<_>>().join("; ")
    }

    fn table(&self, points: &[Point]) -> String {
        let step = points.len().div_ceil(ROWS).max(1);
        let heads = self.lines.iter().map(|l| format!("<th scope=\"col\">{}</th>", escape(l.name)));
        let mut out = format!(
            "<details><summary>Numbers</summary><div class=\"wide\"><table><thead><tr><th scope=\"col\">until</th>{}</tr></thead><tbody>\n",
            heads.collect::<String>()
        );
        for some in points.chunks(step) {
            let at = some[some.len() - 1].at;
            let mean = |l: &Line| some.iter().map(l.of).sum::<f64>() / some.len() as f64;
            let cells = self.lines.iter().map(|l| format!("<td>{}</td>", escape(&(self.say)(mean(l)))));
            out.push_str(&format!(
                "<tr><th scope=\"row\">{}</th>{}</tr>\n",
                escape(&(self.say_at)(at)),
                cells.collect::<String>()
            ));
        }
        out + "</tbody></table></div></details>\n"
    }
}

fn coordinates(
    piece: &[Point],
    of: fn(&Point) -> f64,
    x: &impl Fn(i64) -> f64,
    y: &impl Fn(f64) -> f64,
) -> String {
    let pair = |p: &Point| format!("{:.1},{:.1}", x(p.at), y(of(p)));
    match piece {
        // A line of one point is not drawn.
        [only] => format!("{:.1},{:.1} {}", x(only.at) - 1.5, y(of(only)), pair(only)),
        piece => piece.iter().map(pair).collect::<Vec<_>>().join(" "),
    }
}

/// The next number up that an axis of four parts ends well with.
fn nice(value: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    let unit = 10f64.powf(value.log10().floor());
    let times =
        [1.0, 1.2, 1.6, 2.0, 2.4, 3.2, 4.0, 6.0, 8.0, 10.0].into_iter().find(|t| t * unit >= value * 0.9999);
    times.unwrap_or(10.0) * unit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_a_little_above_the_highest_value() {
        for (value, end) in
            [(0.0, 1.0), (0.7, 0.8), (99.0, 100.0), (100.0, 100.0), (101.0, 120.0), (2500.0, 3200.0)]
        {
            assert!((nice(value) - end).abs() < 1e-9 * end, "{value}: {}", nice(value));
        }
    }

    #[test]
    fn gaps_are_left_open_and_every_number_is_in_the_table() {
        let point = |at, after_gap| Point { at, after_gap, items: 10.0, ..Point::default() };
        let plot = Plot {
            id: "p",
            title: "Items <&>",
            about: "",
            lines: &[Line { name: "items", of: |p| p.items }],
            say: |v| format!("{v:.0}"),
            say_at: &|ms| format!("{} s", ms / 1000),
        };
        let points = [point(0, false), point(1000, false), point(60_000, true)];
        let figure = plot.figure(&points, &[(1, 30_000)], 60_000);
        assert_eq!(figure.matches("<polyline").count(), 2);
        assert_eq!(figure.matches("<tr>").count(), 4);
        assert!(figure.contains("Items &lt;&amp;&gt;: items on average 10, at most 10"), "{figure}");
    }

    #[test]
    fn numbers_that_would_stand_on_each_other_are_one() {
        let x = |at: i64| at as f64;
        let said = |marks: &[(usize, i64)]| {
            labels(marks, &x).into_iter().map(|(at, text)| (at.round() as i64, text)).collect::<Vec<_>>()
        };
        let of = |at, text: &str| (at, text.to_owned());
        assert_eq!(said(&[(1, 100), (2, 200)]), [of(100, "1"), of(200, "2")]);
        assert_eq!(said(&[(1, 100), (2, 300), (3, 300), (4, 302)]), [of(100, "1"), of(301, "2–4")]);
        assert_eq!(
            said(&[(9, 100), (10, 130), (11, 140)]),
            [of(120, "9–11")],
            "a group that grew takes in its neighbour"
        );
        assert!(said(&[]).is_empty());
    }
}
