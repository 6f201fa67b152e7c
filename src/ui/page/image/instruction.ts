/** A line of a Dockerfile. */
export type Instruction = { readonly keyword: string; readonly rest: string }

const keywords =
  /^(ADD|ARG|CMD|COPY|ENTRYPOINT|ENV|EXPOSE|FROM|HEALTHCHECK|LABEL|MAINTAINER|ONBUILD|RUN|SHELL|STOPSIGNAL|USER|VOLUME|WORKDIR)\b\s*/i

/**
 * Restores the instruction from `created_by` of a history entry: docker's classic builder writes `/bin/sh -c #(nop)`
 * before all but RUN, BuildKit ends with `# buildkit`, and both write the shell of RUN.
 */
export function parseInstruction(createdBy: string): Instruction {
  const text = createdBy
    .replace(/\s*# buildkit\s*$/, '')
    .replace(/^\|\d+ .*?(?=\/bin\/sh -c )/, '')
    .trim()
  const nop = /^\/bin\/sh -c #\(nop\)\s*/.exec(text)
  const written = nop === null ? text : text.slice(nop[0].length)
  const keyword = keywords.exec(written)
  if (keyword === null)
    return /^\/bin\/(sh|bash) -c /.test(written)
      ? { keyword: 'RUN', rest: shellText(written) }
      : { keyword: '', rest: written }
  const name = keyword[1]?.toUpperCase() ?? ''
  const rest = written.slice(keyword[0].length)
  return { keyword: name, rest: name === 'RUN' ? shellText(rest) : rest }
}

/** One command on each line, as people write them. */
function shellText(text: string): string {
  return text
    .replace(/^\/bin\/(sh|bash)( -[a-z]+)* -?c /, '')
    .replace(/^\/bin\/(sh|bash) -c /, '')
    .trim()
    .split(/\s+&&\s+/)
    .join(' \\\n && ')
}
