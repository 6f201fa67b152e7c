// What `helm test` runs: the registry answers as one, asks for a login or not, and says that it is ready.
const { REGISTRY = '', READYZ = '', NOTE = '' } = process.env

if (NOTE !== '') console.log(`note: ${NOTE}`)

async function ask(url, statuses) {
  const reply = await fetch(url, { signal: AbortSignal.timeout(10_000) })
  const text = await reply.text()
  console.log(`${url}: ${reply.status} ${text.trim()}`)
  if (!statuses.includes(reply.status)) throw new Error(`${url} answered ${reply.status}`)
  return reply
}

const reply = await ask(REGISTRY, [200, 401])
const version = reply.headers.get('docker-distribution-api-version')
if (version !== 'registry/2.0') throw new Error(`no registry answers at ${REGISTRY}`)
await ask(READYZ, [200])
