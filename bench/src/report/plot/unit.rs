//! Units: what a figure is of, told by its name, and how people read it.

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Plain,
    Ns,
    Bytes,
    /// 1 is a whole core, or all of something.
    Share,
    /// A quantile: 0.99 is shown as 99 %.
    Quantile,
}

impl Unit {
    /// Of a figure's name (`p50_ns`) or an axis' label (`memory, bytes`); the factor brings the
    /// figure to the unit: µs and ms are ns too.
    pub(crate) fn of(name: &str) -> (Self, f64) {
        let last = name.rsplit(['_', ' ', ',', '(']).next().unwrap_or(name).trim_end_matches(')');
        match last {
            "ns" => (Self::Ns, 1.0),
            "us" | "µs" => (Self::Ns, 1e3),
            "ms" => (Self::Ns, 1e6),
            // `messages_per_s` is not a duration.
            "s" if !name.contains("per_s") && !name.contains("per s") => (Self::Ns, 1e9),
            "bytes" => (Self::Bytes, 1.0),
            "KiB" => (Self::Bytes, 1024.0),
            "MiB" => (Self::Bytes, 1_048_576.0),
            "GiB" => (Self::Bytes, 1_073_741_824.0),
            "busy" | "share" => (Self::Share, 1.0),
            _ if name.contains("bytes_per") => (Self::Bytes, 1.0),
            _ if name.contains("ms_per") => (Self::Ns, 1e6),
            _ if name.contains("us_per") => (Self::Ns, 1e3),
            _ => (Self::Plain, 1.0),
        }
    }

    /// Three digits and the unit.
    pub(crate) fn text(self, value: f64) -> String {
        self.with(value, digits)
    }

    /// As short as it is exact: for ticks, which are round.
    pub(crate) fn tick(self, value: f64) -> String {
        self.with(value, |value| {
            let text = format!("{value:.3}");
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        })
    }

    fn with(self, value: f64, digits: impl Fn(f64) -> String) -> String {
        if !value.is_finite() {
            return "–".to_owned();
        }
        let (step, names): (f64, &[&str]) = match self {
            Self::Plain => (1e3, &["", " k", " M", " G", " T"]),
            Self::Ns => (1e3, &[" ns", " µs", " ms", " s"]),
            Self::Bytes => (1024.0, &[" B", " KiB", " MiB", " GiB", " TiB"]),
            Self::Share => return format!("{} %", digits(value * 100.0)),
            // As many nines as there are, without the error of the sum that they came from.
            Self::Quantile => {
                let text = format!("{:.6}", value * 100.0);
                return text.trim_end_matches('0').trim_end_matches('.').to_owned() + " %";
            }
        };
        if value == 0.0 {
            return "0".to_owned();
        }
        // 9,999 of something are read more easily than 10.0 k of it.
        if self == Self::Plain && value.abs() < 9_999.5 {
            return digits(value);
        }
        let (mut value, mut index) = (value, 0);
        // Rounding may carry to the next unit: 999.96 µs are 1.00 ms.
        while value.abs() >= step * 0.9995 && index + 1 < names.len() {
            value /= step;
            index += 1;
        }
        format!("{}{}", digits(value), names[index])
    }
}

/// Three significant digits; whole numbers below ten thousand with all of theirs.
fn digits(value: f64) -> String {
    let size = value.abs();
    if size >= 999.5 {
        let whole = format!("{size:.0}");
        let split = whole.len() - 3;
        let sign = if value < 0.0 { "-" } else { "" };
        return format!("{sign}{},{}", &whole[..split], &whole[split..]);
    }
    if value == value.trunc() && size < 1000.0 {
        return format!("{value:.0}");
    }
    let places = if size < 9.995 { 2 } else { usize::from(size < 99.95) };
    format!("{value:.places$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_told_by_names() {
        let of = |name| Unit::of(name);
        assert_eq!(of("p999_ns"), (Unit::Ns, 1.0));
        assert_eq!(of("ramp_s"), (Unit::Ns, 1e9));
        assert_eq!(of("reconnected_p99_ms"), (Unit::Ns, 1e6));
        assert_eq!(of("latency, ms"), (Unit::Ns, 1e6));
        assert_eq!(of("latency (µs)"), (Unit::Ns, 1e3));
        assert_eq!(of("memory, MiB"), (Unit::Bytes, 1_048_576.0));
        assert_eq!(of("messages_per_s"), (Unit::Plain, 1.0));
        assert_eq!(of("server_cpu_us_per_connection"), (Unit::Ns, 1e3));
        assert_eq!(of("cpu_ms_per_million"), (Unit::Ns, 1e6));
        assert_eq!(of("user_bytes_per_connection"), (Unit::Bytes, 1.0));
        assert_eq!(of("pss_bytes"), (Unit::Bytes, 1.0));
        assert_eq!(of("server_busy"), (Unit::Share, 1.0));
        assert_eq!(of("connections"), (Unit::Plain, 1.0));
    }

    #[test]
    fn figures_have_three_digits_and_their_unit() {
        assert_eq!(Unit::Ns.text(18_237_000.0), "18.2 ms");
        assert_eq!(Unit::Ns.text(999_960.0), "1.00 ms");
        assert_eq!(Unit::Ns.text(250.0), "250 ns");
        assert_eq!(Unit::Ns.text(12e12), "12,000 s");
        assert_eq!(Unit::Plain.text(499_873.0), "500 k");
        assert_eq!(Unit::Plain.text(5_000.0), "5,000");
        assert_eq!(Unit::Plain.text(4_998_730.0), "5.00 M");
        assert_eq!(Unit::Plain.text(0.0), "0");
        assert_eq!(Unit::Bytes.text(1_536.0), "1.50 KiB");
        assert_eq!(Unit::Bytes.text(391.0), "391 B");
        assert_eq!(Unit::Share.text(0.423), "42.3 %");
        assert_eq!(Unit::Ns.text(f64::NAN), "–");
    }

    #[test]
    fn ticks_are_as_short_as_they_are_exact() {
        assert_eq!(Unit::Ns.tick(2e7), "20 ms");
        assert_eq!(Unit::Plain.tick(0.5), "0.5");
        assert_eq!(Unit::Plain.tick(1_000_000.0), "1 M");
        assert_eq!(Unit::Quantile.tick(0.999_9), "99.99 %");
        assert_eq!(Unit::Quantile.tick(0.5), "50 %");
        assert_eq!(Unit::Quantile.tick(0.0), "0 %");
    }
}
