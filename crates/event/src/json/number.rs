//! A JSON number as it was written, compared by its value and without floating point.
//!
//! `1`, `1.0` and `10e-1` are the same; `0.1` and `0.10000000000000001` are not. An exponent of any
//! length is an integer that is added to, never a number of digits to be written out.

/// A number; its digits are kept as they came.
#[derive(Clone, Copy, Debug)]
pub struct Number<'a> {
    text: &'a str,
}

/// `0.digits × 10^(exponent + shift)`, the digits without zeros at either end.
struct Parts<'a> {
    negative: bool,
    whole: &'a [u8],
    fraction: &'a [u8],
    exponent: Exponent<'a>,
    shift: i64,
}

/// An exponent as it was written, zeros in front apart.
#[derive(Clone, Copy)]
struct Exponent<'a> {
    negative: bool,
    digits: &'a [u8],
}

impl<'a> Number<'a> {
    /// Of text that a cursor found to be a number.
    pub(super) fn of(text: &'a str) -> Number<'a> {
        Number { text }
    }

    /// The number as it was written.
    pub fn text(&self) -> &'a str {
        self.text
    }

    /// The same text for equal numbers, and no others: sign, digits, exponent.
    pub fn canonical(&self) -> String {
        let parts = self.parts();
        if parts.is_zero() {
            return "0".to_owned();
        }
        let sign = if parts.negative { "-" } else { "" };
        let digits: String = parts.digits().map(|digit| char::from(*digit)).collect();
        match parts.exponent.plus(parts.shift) {
            Sum::Small(exponent) => format!("{sign}{digits}e{exponent}"),
            Sum::Large { negative, digits: exponent } => {
                let exponent = String::from_utf8_lossy(&exponent).into_owned();
                format!("{sign}{digits}e{}{exponent}", if negative { "-" } else { "" })
            }
        }
    }

    fn parts(&self) -> Parts<'a> {
        let (negative, digits) = match self.text.as_bytes() {
            [b'-', rest @ ..] => (true, rest),
            all => (false, all),
        };
        let (mantissa, exponent) = cut(digits, |byte| matches!(byte, b'e' | b'E'));
        let (whole, fraction) = cut(mantissa, |byte| byte == b'.');
        let mut whole = without_zeros_in_front(whole);
        let mut shift = whole.len() as i64;
        let mut fraction = without_zeros_behind(fraction);
        if whole.is_empty() {
            let significant = without_zeros_in_front(fraction);
            shift = significant.len() as i64 - fraction.len() as i64;
            fraction = significant;
        }
        if fraction.is_empty() {
            whole = without_zeros_behind(whole);
        }
        Parts { negative, whole, fraction, exponent: Exponent::of(exponent), shift }
    }
}

impl PartialEq for Number<'_> {
    fn eq(&self, other: &Number<'_>) -> bool {
        if self.text == other.text {
            return true;
        }
        let (left, right) = (self.parts(), other.parts());
        if left.is_zero() || right.is_zero() {
            return left.is_zero() && right.is_zero();
        }
        left.negative == right.negative
            && left.digits().eq(right.digits())
            && left.exponent.plus(left.shift) == right.exponent.plus(right.shift)
    }
}

impl Eq for Number<'_> {}

impl Parts<'_> {
    fn is_zero(&self) -> bool {
        self.whole.is_empty() && self.fraction.is_empty()
    }

    fn digits(&self) -> impl Iterator<Item = &u8> {
        self.whole.iter().chain(self.fraction)
    }
}

/// The sum of an exponent and a small number: itself small, or sign and decimal digits.
#[derive(PartialEq)]
enum Sum {
    Small(i64),
    Large { negative: bool, digits: Vec<u8> },
}

impl<'a> Exponent<'a> {
    /// A sum of so many digits is small. The exponent it came from may have one less, so that adding
    /// a shift to it stays small: the same sum must come out the same way.
    const SMALL_DIGITS: usize = 18;

    fn of(text: &'a [u8]) -> Exponent<'a> {
        let (negative, digits) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            all => (false, all),
        };
        Exponent { negative, digits: without_zeros_in_front(digits) }
    }

    fn plus(self, shift: i64) -> Sum {
        let sign = if self.negative { -1 } else { 1 };
        if self.digits.len() < Exponent::SMALL_DIGITS {
            return Sum::Small(sign * decimal(self.digits) + shift);
        }
        // So large that a shift, bounded by the length of a text, does not turn its sign.
        let mut digits = self.digits.to_vec();
        let mut carry = sign * shift;
        for digit in digits.iter_mut().rev() {
            if carry == 0 {
                break;
            }
            let sum = i64::from(*digit - b'0') + carry;
            *digit = b'0' + sum.rem_euclid(10) as u8;
            carry = sum.div_euclid(10);
        }
        if carry > 0 {
            digits.splice(0..0, carry.to_string().into_bytes());
        }
        let digits = without_zeros_in_front(&digits);
        if digits.len() <= Exponent::SMALL_DIGITS {
            return Sum::Small(sign * decimal(digits));
        }
        Sum::Large { negative: self.negative, digits: digits.to_vec() }
    }
}

fn decimal(digits: &[u8]) -> i64 {
    digits.iter().fold(0, |value, digit| value * 10 + i64::from(digit - b'0'))
}

/// What stands before and after the first byte of a kind; nothing after where there is none.
fn cut(bytes: &[u8], kind: impl Fn(u8) -> bool) -> (&[u8], &[u8]) {
    match bytes.iter().position(|byte| kind(*byte)) {
        Some(at) => (&bytes[..at], &bytes[at + 1..]),
        None => (bytes, &[]),
    }
}

fn without_zeros_in_front(digits: &[u8]) -> &[u8] {
    let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
    &digits[zeros..]
}

fn without_zeros_behind(digits: &[u8]) -> &[u8] {
    let zeros = digits.iter().rev().take_while(|digit| **digit == b'0').count();
    &digits[..digits.len() - zeros]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn same(left: &str, right: &str) -> bool {
        let same = Number::of(left) == Number::of(right);
        assert_eq!(Number::of(right) == Number::of(left), same, "{left} {right}");
        same
    }

    #[test]
    fn the_value_counts_and_not_the_spelling() {
        for (left, right) in [
            ("1", "1.0"),
            ("1", "10e-1"),
            ("1", "0.1E+1"),
            ("-0", "0"),
            ("0e99999999999999999999999", "0.000"),
            ("100", "1e2"),
            ("0.00120", "12e-4"),
            ("12345678901234567890", "1234567890123456789e1"),
            ("1e007", "10e6"),
            ("-1.50", "-15e-1"),
            ("10.01", "1001e-2"),
            ("1e100000000000000000000", "10e99999999999999999999"),
            ("1e-100000000000000000000", "0.1e-99999999999999999999"),
            ("1e99999999999999999999", "0.1e100000000000000000000"),
            ("1e100000000000000000", "10e99999999999999999"),
            ("1e1000000000000000000", "10e999999999999999999"),
            ("1e1000000000000000000", "100e999999999999999998"),
            ("1e999999999999999999999", "0.01e1000000000000000000001"),
        ] {
            assert!(same(left, right), "{left} {right}");
        }
    }

    #[test]
    fn other_values_are_told_apart() {
        for (left, right) in [
            ("1", "-1"),
            ("1", "10"),
            ("1", "1e1"),
            ("12", "1.3"),
            ("0", "1e-9999999999999999999999"),
            ("0.1", "0.10000000000000001"),
            ("9007199254740993", "9007199254740992"),
            ("1e400", "1e401"),
            ("101", "11"),
            ("1.01", "1.1"),
            ("1e100000000000000000000", "1e99999999999999999999"),
            ("1e100000000000000000000", "1e-100000000000000000000"),
            ("1e18446744073709551616", "1e0"),
        ] {
            assert!(!same(left, right), "{left} {right}");
        }
    }

    #[test]
    fn a_long_number_takes_no_quadratic_time() {
        let zeros = "0".repeat(1_000_000);
        assert!(same(&format!("1{zeros}"), "1e1000000"));
        assert!(same(&format!("0.{zeros}1"), "1e-1000001"));
        assert!(same(&format!("1e1{zeros}"), &format!("10e{}", "9".repeat(1_000_000))));
    }

    proptest! {
        #[test]
        fn shifting_the_point_keeps_the_value(
            digits in "[1-9][0-9]{0,20}",
            places in 0_usize..20,
            exponent in -30_i64..30,
            zeros in 0_usize..4,
        ) {
            let plain = format!("{digits}e{exponent}");
            let fraction = format!("{}{digits}{}", "0".repeat(places), "0".repeat(zeros));
            let shift = exponent + (digits.len() + places) as i64;
            let (same_value, larger) = (format!("0.{fraction}e{shift}"), shift + 1);
            prop_assert!(same(&plain, &same_value));
            let others = [format!("0.{fraction}e{larger}"), format!("0.{fraction}1e{shift}")];
            prop_assert!(others.iter().all(|other| !same(&plain, other)));
        }

        #[test]
        fn numbers_compare_as_whole_numbers_do(left in 0_u64..2_000, right in 0_u64..2_000, e in 0_u32..4) {
            let (l, r) = (format!("{left}e{e}"), format!("{right}.00"));
            prop_assert_eq!(same(&l, &r), left * 10_u64.pow(e) == right);
        }
    }
}
