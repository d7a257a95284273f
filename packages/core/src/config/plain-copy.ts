/** A deep copy of plain data, without fields that are undefined. Whatever is not plain, such as a function, is kept. */
export function plainCopy(value: unknown, keep: (value: object) => boolean = () => false): unknown {
  if (Array.isArray(value)) return value.map((item) => plainCopy(item, keep));
  if (typeof value !== "object" || value === null || keep(value)) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, item]) => item !== undefined)
      .map(([key, item]) => [key, plainCopy(item, keep)]),
  );
}
