//! Plots as SVG: lines over two axes, drawn here so that a report needs nothing from anywhere.
//!
//! Little ink: no frame, no grid but hairlines at ticks, names at the ends of their lines. Colours are
//! classes that the page's style sheet defines for light, dark and print, after Okabe and Ito's palette
//! ("Color Universal Design", 2008), which people with any colour vision can tell apart.

mod scale;
mod unit;

use std::fmt::Write as _;

pub(crate) use self::scale::{Scale, float};
pub(crate) use self::unit::Unit;

/// Text and attribute values as XML has them.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            // XML has no other control characters.
            '\n' | '\t' => out.push(' '),
            control if control.is_control() => out.push('\u{fffd}'),
            other => out.push(other),
        }
    }
    out
}

/// An axis: what it shows, of which unit, and how.
#[derive(Clone, Debug)]
pub(crate) struct Axis {
    pub(crate) label: String,
    pub(crate) unit: Unit,
    pub(crate) scale: Scale,
}

impl Axis {
    /// Ticks that are round as they are written: 10 MiB, and not ten million bytes.
    fn ticks(&self, at_most: usize) -> Vec<f64> {
        match (self.unit, self.scale) {
            (Unit::Bytes, Scale::Linear { min, max }) => {
                let base = 1024_f64.powf((max.max(1.0).ln() / 1024_f64.ln()).floor());
                let ticks = Scale::Linear { min: min / base, max: max / base }.ticks(at_most);
                ticks.into_iter().map(|tick| tick * base).collect()
            }
            (_, scale) => scale.ticks(at_most),
        }
    }
}

/// How a line's points are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Many points of one curve.
    Curve,
    /// Few measured points, each shown.
    Points,
}

/// A named line.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) name: String,
    /// Class of the style sheet: `s0` to `s7`.
    pub(crate) colour: usize,
    pub(crate) points: Vec<(f64, f64)>,
    /// Said of it when it is pointed at.
    pub(crate) remark: String,
}

/// A plot.
#[derive(Clone, Debug)]
pub(crate) struct Plot {
    pub(crate) title: String,
    pub(crate) x: Axis,
    pub(crate) y: Axis,
    pub(crate) shape: Shape,
    pub(crate) lines: Vec<Line>,
}

/// Colours in the style sheet.
pub(crate) const COLOURS: usize = 8;

// In units of the view box. Text of 12 is still 9 pixels high on a screen of 400.
const WIDTH: f64 = 480.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 58.0;
const RIGHT: f64 = 108.0;
const TOP: f64 = 26.0;
const BOTTOM: f64 = 42.0;
const LINE_HEIGHT: f64 = 13.0;
/// Characters of a name that fit behind the end of its line.
const NAME_MAX: usize = 17;

impl Plot {
    /// As an SVG element.
    pub(crate) fn svg(&self) -> String {
        let mut out = String::new();
        let title = escape(&self.title);
        let _ = write!(
            out,
            r#"<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}"><text class="t" x="0" y="12">{title}</text>"#
        );
        self.axes(&mut out);
        for line in &self.lines {
            self.line(&mut out, line);
        }
        self.names(&mut out);
        out.push_str("</svg>");
        out
    }

    fn axes(&self, out: &mut String) {
        let (bottom, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
        for tick in self.y.ticks(7) {
            let y = self.y_of(tick);
            let text = escape(&self.y.unit.tick(tick));
            let _ = write!(
                out,
                r#"<path class="g" d="M{LEFT} {y:.1}H{right}"/><text class="y" x="{:.1}" y="{:.1}">{text}</text>"#,
                LEFT - 6.0,
                y + 4.0
            );
        }
        let mut free_from = f64::NEG_INFINITY;
        for tick in self.x.ticks(8) {
            let x = self.x_of(tick);
            let text = self.x.unit.tick(tick);
            let _ = write!(out, r#"<path class="k" d="M{x:.1} {bottom}v4"/>"#);
            // Half its width to both sides; one that would touch its neighbour is left out.
            let half = float(text.chars().count()) * 3.3;
            if x - half > free_from {
                free_from = x + half + 4.0;
                let _ = write!(
                    out,
                    r#"<text class="x" x="{x:.1}" y="{:.1}">{}</text>"#,
                    bottom + 16.0,
                    escape(&text)
                );
            }
        }
        let _ = write!(
            out,
            r#"<path class="k" d="M{LEFT} {bottom}H{right}"/><text class="l" x="{LEFT}" y="{:.1}">{}</text><text class="l e" x="{right}" y="{:.1}">{}</text>"#,
            TOP,
            escape(&self.y.label),
            HEIGHT - 8.0,
            escape(&self.x.label)
        );
    }

    fn line(&self, out: &mut String, line: &Line) {
        let class = line.colour % COLOURS;
        let mut path = String::new();
        let mut last: Option<(f64, f64)> = None;
        for &(x, y) in &line.points {
            let (x, y) = (self.x_of(x), self.y_of(y));
            // Half a unit cannot be seen.
            let is_near = last.is_some_and(|(lx, ly)| (x - lx).abs() < 0.5 && (y - ly).abs() < 0.5);
            if is_near && self.shape == Shape::Curve {
                continue;
            }
            let command = if last.is_none() { 'M' } else { 'L' };
            let _ = write!(path, "{command}{x:.1} {y:.1}");
            last = Some((x, y));
        }
        let remark = if line.remark.is_empty() {
            line.name.clone()
        } else {
            format!("{}: {}", line.name, line.remark)
        };
        let _ = write!(
            out,
            r#"<g class="s{class}"><title>{}</title><path d="{path}"/>"#,
            escape(&remark)
        );
        if self.shape == Shape::Points {
            for &(x, y) in &line.points {
                let text =
                    format!("{}: {}, {}", line.name, self.x.unit.text(x), self.y.unit.text(y));
                let _ = write!(
                    out,
                    r#"<circle cx="{:.1}" cy="{:.1}" r="2.6"><title>{}</title></circle>"#,
                    self.x_of(x),
                    self.y_of(y),
                    escape(&text)
                );
            }
        }
        out.push_str("</g>");
    }

    /// Names behind the ends of their lines, moved apart where they would overlap.
    fn names(&self, out: &mut String) {
        let mut names: Vec<(f64, &Line)> = Vec::new();
        for line in &self.lines {
            if let Some(&(_, y)) = line.points.last() {
                names.push((self.y_of(y), line));
            }
        }
        names.sort_by(|one, other| one.0.total_cmp(&other.0));
        let mut places: Vec<f64> = names.iter().map(|(y, _)| *y).collect();
        move_apart(&mut places, TOP + 4.0, HEIGHT - BOTTOM);
        for ((end, line), place) in names.into_iter().zip(places) {
            let Some(&(x, _)) = line.points.last() else { continue };
            let x = self.x_of(x);
            let right = WIDTH - RIGHT;
            let mut name: String = line.name.chars().take(NAME_MAX).collect();
            if name.len() < line.name.len() {
                name.pop();
                name.push('…');
            }
            let class = line.colour % COLOURS;
            let _ = write!(
                out,
                r#"<path class="c" d="M{:.1} {end:.1}L{:.1} {place:.1}"/><text class="n s{class}" x="{:.1}" y="{:.1}">{}</text>"#,
                x + 3.0,
                right + 5.0,
                right + 8.0,
                place + 4.0,
                escape(&name)
            );
        }
    }

    fn x_of(&self, value: f64) -> f64 {
        LEFT + self.x.scale.place(value) * (WIDTH - LEFT - RIGHT)
    }

    fn y_of(&self, value: f64) -> f64 {
        let (top, bottom) = (TOP + 8.0, HEIGHT - BOTTOM);
        bottom - self.y.scale.place(value) * (bottom - top)
    }
}

/// Moves sorted places at least a line apart, and as little as that needs, within the limits if they fit.
fn move_apart(places: &mut [f64], top: f64, bottom: f64) {
    let mut next = top;
    for place in places.iter_mut() {
        *place = place.max(next);
        next = *place + LINE_HEIGHT;
    }
    let mut last = bottom;
    for place in places.iter_mut().rev() {
        *place = place.min(last);
        last = *place - LINE_HEIGHT;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &str, points: &[(f64, f64)]) -> Line {
        Line { name: name.to_owned(), colour: 0, points: points.to_vec(), remark: String::new() }
    }

    fn plot(lines: Vec<Line>) -> Plot {
        let axis = |label: &str, unit, max| Axis {
            label: label.to_owned(),
            unit,
            scale: Scale::Linear { min: 0.0, max },
        };
        Plot {
            title: "a <plot> & \"more\"".to_owned(),
            x: axis("connections", Unit::Plain, 100.0),
            y: axis("latency", Unit::Ns, 1000.0),
            shape: Shape::Points,
            lines,
        }
    }

    #[test]
    fn a_plot_is_well_formed_and_says_what_it_shows() {
        let svg = plot(vec![line("one & only", &[(0.0, 0.0), (100.0, 1000.0)])]).svg();
        let document = roxmltree::Document::parse(&svg).unwrap();
        let texts: Vec<&str> = document
            .descendants()
            .filter(|it| it.has_tag_name("text"))
            .filter_map(|it| it.text())
            .collect();
        for expected in
            ["a <plot> & \"more\"", "connections", "latency", "one & only", "600 ns", "60"]
        {
            assert!(texts.contains(&expected), "{expected} in {texts:?}");
        }
        let circles = document.descendants().filter(|it| it.has_tag_name("circle"));
        let places: Vec<_> =
            circles.map(|it| (it.attribute("cx").unwrap(), it.attribute("cy").unwrap())).collect();
        assert_eq!(places, [("58.0", "258.0"), ("372.0", "34.0")]);
    }

    #[test]
    fn curves_are_thinned_to_what_can_be_seen() {
        let points: Vec<(f64, f64)> =
            (0..10_000).map(|i| (f64::from(i) / 100.0, f64::from(i) / 10.0)).collect();
        let svg = Plot { shape: Shape::Curve, ..plot(vec![line("many", &points)]) }.svg();
        assert!(svg.len() < 30_000, "{}", svg.len());
        assert!(roxmltree::Document::parse(&svg).is_ok());
    }

    #[test]
    fn names_do_not_overlap() {
        let mut places = [100.0, 101.0, 102.0, 250.0, 251.0];
        move_apart(&mut places, 0.0, 252.0);
        assert!(
            places.windows(2).all(|pair| pair[1] - pair[0] >= LINE_HEIGHT - 1e-9),
            "{places:?}"
        );
        assert_eq!((places[0], places[4]), (100.0, 252.0));
    }

    #[test]
    fn lines_without_points_are_no_matter() {
        assert!(roxmltree::Document::parse(&plot(vec![line("none", &[])]).svg()).is_ok());
    }
}
