// Numbers as the page writes them.

/** Hectares with as many digits as a reader uses. */
export function hectares(value) {
  if (value === 0) return "0";
  const digits = value >= 1000 ? 0 : value >= 10 ? 1 : value >= 0.1 ? 2 : 4;
  return value.toLocaleString("en", {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  });
}

export function percent(share) {
  if (share > 0 && share < 0.0005) return "< 0.1 %";
  return `${(100 * share).toFixed(share < 0.0995 ? 1 : 0)} %`;
}

/** A value of a band: whole numbers whole, others with four digits. */
export function value(number) {
  if (!Number.isFinite(number)) return "no number";
  if (Number.isInteger(number)) return String(number);
  return String(Number(number.toPrecision(4)));
}

/** The percentiles of numbers, by the nearest of the sorted ones. */
export function percentiles(numbers, shares) {
  if (!numbers.length) return null;
  const sorted = Float64Array.from(numbers).sort();
  return shares.map((share) => sorted[Math.round(share * (sorted.length - 1))]);
}
