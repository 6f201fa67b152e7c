const known = new Set([
  200, 206, 301, 302, 303, 304, 307, 308, 400, 401, 403, 404, 405, 416, 429, 500, 502, 503, 504,
])

/**
 * A status as a metric label: an upstream may answer with any number, and each would be a separate
 * series.
 */
export function statusLabel(status: number): string {
  return known.has(status) ? String(status) : `${Math.floor(status / 100)}XX`
}
