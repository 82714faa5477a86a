// Decimals: exact text of a mantissa and a power of ten, and back. No float is involved, except where asked for.

import { integer, type Integer } from './integer.ts';

/** `mantissa * 10^exponent` with exactly `-exponent` decimals: 6183763 at -2 is `61837.63`. */
export function formatDecimal(mantissa: Integer, exponent: number): string {
  const isNegative = mantissa < 0;
  // Safe integers print without an exponent.
  let digits = String(isNegative ? -mantissa : mantissa);
  if (exponent > 0) {
    digits = mantissa == 0 ? digits : digits + '0'.repeat(exponent);
  } else if (exponent < 0) {
    const places = -exponent;
    if (digits.length <= places) digits = digits.padStart(places + 1, '0');
    const dot = digits.length - places;
    digits = `${digits.slice(0, dot)}.${digits.slice(dot)}`;
  }
  return isNegative ? `-${digits}` : digits;
}

/**
 * The mantissa of a text such as `-12.50` at this exponent. More decimals than the exponent has are taken if they are
 * zeros.
 *
 * @throws RangeError if it is no decimal number, or has digits that the exponent cannot hold.
 */
export function parseDecimal(text: string, exponent: number): Integer {
  const match = /^(-?)(\d*)(?:\.(\d+))?$/.exec(text);
  const [, sign = '', whole = '', fraction = ''] = match ?? [];
  if (!match || whole + fraction === '') throw new RangeError(`not a decimal number: ${text}`);
  let digits = whole + fraction;
  const surplus = fraction.length + exponent;
  if (surplus > 0) {
    if (/[^0]/.test(digits.slice(-surplus))) throw new RangeError(`more decimals than ${-exponent}: ${text}`);
    digits = digits.slice(0, -surplus);
  } else {
    digits += '0'.repeat(-surplus);
  }
  // Fifteen digits are always safe.
  if (digits.length <= 15) {
    const value = Number(digits);
    return sign && value !== 0 ? -value : value;
  }
  return integer(BigInt(sign + digits));
}

/** The nearest float: for plotting, not for accounting. */
export function decimalToNumber(mantissa: Integer, exponent: number): number {
  const power = 10 ** Math.abs(exponent);
  return exponent < 0 ? Number(mantissa) / power : Number(mantissa) * power;
}
