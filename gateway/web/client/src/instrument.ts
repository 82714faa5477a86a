// Instruments: what symbols and mantissas mean, as the gateway defines them before their first use.

import { CHANNELS, type Channel } from './channel.ts';
import { formatDecimal } from './decimal.ts';
import type { Integer } from './integer.ts';

/** What an instrument is defined as. */
export interface InstrumentFields {
  readonly id: number;
  readonly symbol: string;
  readonly base: string;
  readonly priceExponent: number;
  readonly quantityExponent: number;
  readonly tickSize: Integer;
  readonly lotSize: Integer;
  readonly channels: readonly Channel[];
}

/** An instrument of the present epoch. The same object in all events, until it is defined otherwise. */
export class Instrument {
  /** Its number in this epoch: small, so that it may index an array. */
  readonly id: number;
  readonly symbol: string;
  /** The asset that is bought and sold, and the one that it is paid in; empty where the venue names none. */
  readonly base: string;
  readonly quote: string;
  /** Prices are `mantissa * 10^priceExponent`, quantities likewise. */
  readonly priceExponent: number;
  readonly quantityExponent: number;
  /** The smallest step of prices and quantities, exact. */
  readonly tickSize: string;
  readonly lotSize: string;
  readonly tickSizeMantissa: Integer;
  readonly lotSizeMantissa: Integer;
  /** The channels that it has. */
  readonly channels: readonly Channel[];
  readonly #topics: (string | undefined)[] = [];

  constructor(fields: InstrumentFields) {
    this.id = fields.id;
    this.symbol = fields.symbol;
    this.base = fields.base;
    this.quote = fields.symbol.startsWith(fields.base) ? fields.symbol.slice(fields.base.length) : '';
    this.priceExponent = fields.priceExponent;
    this.quantityExponent = fields.quantityExponent;
    this.tickSizeMantissa = fields.tickSize;
    this.lotSizeMantissa = fields.lotSize;
    this.tickSize = formatDecimal(fields.tickSize, fields.priceExponent);
    this.lotSize = formatDecimal(fields.lotSize, fields.quantityExponent);
    this.channels = fields.channels;
  }

  /** The exact text of a price's mantissa. */
  priceText(mantissa: Integer): string {
    return formatDecimal(mantissa, this.priceExponent);
  }

  /** The exact text of a quantity's mantissa. */
  quantityText(mantissa: Integer): string {
    return formatDecimal(mantissa, this.quantityExponent);
  }

  /** `SYMBOL.channel`; the same string each time. */
  topic(code: number): string {
    return (this.#topics[code] ??= `${this.symbol}.${CHANNELS[code] ?? ''}`);
  }

  /** Whether both are defined alike. */
  equals(other: Instrument): boolean {
    return this.id === other.id && this.symbol === other.symbol && this.base === other.base
      && this.priceExponent === other.priceExponent && this.quantityExponent === other.quantityExponent
      && this.tickSizeMantissa === other.tickSizeMantissa && this.lotSizeMantissa === other.lotSizeMantissa
      && this.channels.join() === other.channels.join();
  }
}

/** The channels of a set of bits. */
export function channelSet(bits: number): readonly Channel[] {
  return CHANNELS.filter((_, code) => (bits >>> code) & 1);
}
