/** Whether a column is `:prefix`, or a name below it; always if it is empty. */
export function isBelow(column: string): string {
  // 0 is the character after /.
  return `(:prefix = '' OR ${column} = :prefix
    OR (${column} > :prefix || '/' AND ${column} < :prefix || '0'))`
}
