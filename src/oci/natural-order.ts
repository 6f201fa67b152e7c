/** Runs of digits that fit a tag of 128 characters have lengths up to this. */
const digits = /\d+/g

/**
 * A key whose order by bytes is the natural order of names: 1.9 comes before 1.10. Each number is
 * preceded by its length; equal numbers with different leading zeros have equal keys.
 */
export function naturalKey(name: string): string {
  return name.replaceAll(digits, (number) => {
    const significant = number.replace(/^0+(?=\d)/, '')
    return `${String(significant.length).padStart(3, '0')}${significant}`
  })
}
