// Integers of 64 bits in JavaScript: numbers where those are exact, bigints where they are not.
//
// A `bigint` is an object on the heap, made anew by every operation; a number is none, or next to none.
// Nearly all mantissas and sequence numbers are below 2^53, so they are numbers, and exact.

/**
 * An exact integer: a `number` wherever it is a safe one, else a `bigint`. There is one form for each value, so `===`
 * and `Map` keys work; `<` and `>` compare both kinds.
 */
export type Integer = number | bigint;

const TWO_POW_32 = 4294967296;

/** The one form of this value. */
export function integer(value: bigint): Integer {
  const near = Number(value);
  return Number.isSafeInteger(near) ? near : value;
}

/** An int64 of a message. */
export function readInt64(data: DataView, at: number): Integer {
  const near = data.getInt32(at + 4, true) * TWO_POW_32 + data.getUint32(at, true);
  return Number.isSafeInteger(near) ? near : data.getBigInt64(at, true);
}

/** A uint64 of a message, to the nearest number: exact below 2^53. */
export function readCount(data: DataView, at: number): number {
  return data.getUint32(at + 4, true) * TWO_POW_32 + data.getUint32(at, true);
}

/** A uint64 of ns since 1970 as milliseconds, exact to the microsecond. */
export function readMillis(data: DataView, at: number): number {
  return readCount(data, at) / 1e6;
}
