/** Bytes of one line. Objects in etcd have at most 1.5 MiB; JSON is longer than their protobuf. */
const maxLine = 8 * 1024 * 1024

/**
 * Parses a stream of JSON documents, one on each line, such as a watch.
 * @throws Error for a line that is not JSON or too long.
 */
export async function* parseJsonLines(
  body: AsyncIterable<Uint8Array>,
): AsyncGenerator<unknown, void, undefined> {
  let parts: Uint8Array[] = []
  let size = 0
  for await (const chunk of body) {
    let rest = chunk
    for (let end = rest.indexOf(0x0a); end >= 0; end = rest.indexOf(0x0a)) {
      const line = Buffer.concat([...parts, rest.subarray(0, end)]).toString('utf8')
      parts = []
      size = 0
      rest = rest.subarray(end + 1)
      if (line.trim() !== '') yield JSON.parse(line)
    }
    size += rest.length
    if (size > maxLine) throw new Error(`a line of the response is longer than ${maxLine} bytes`)
    if (rest.length > 0) parts.push(rest)
  }
}
