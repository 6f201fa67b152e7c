import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { strayFiles, visibleBlobs } from '../support/berth.ts'
import { codeOf, get } from '../support/client.ts'
import { makeImage } from '../support/images.ts'
import { pullImage } from '../support/pull.ts'
import { connectRaw, type RawReply } from '../support/raw.ts'
import type { ScriptedUpstream } from '../support/scripted-upstream.ts'
import { startTokenRegistry } from '../support/token-registry.ts'
import { targetsWith, traversals } from '../support/traversals.ts'
import { useBerth } from '../support/use-berth.ts'
import { useUpstream } from '../support/use-upstream.ts'

const name = 'project/repository/app'
const image = makeImage()
const upstream = await useUpstream()
upstream.put(name, 'v1', image)
const berth = useBerth({
  config: { hosts: ['evil.example'], upstreams: [{ url: upstream.url }] },
  check: async ({ admin }) => {
    const { status } = await get(`${admin}/livez`)
    assert.equal(status, 200, 'the process lives')
  },
})

/** The first answer on a connection of its own to a request line and headers as they are. */
async function askRaw(line: string, ...headers: readonly string[]): Promise<RawReply> {
  const client = await connectRaw(berth.url)
  client.ask(line, ...(headers.length > 0 ? headers : ['Host: berth']))
  try {
    return await client.reply({ bodiless: line.startsWith('HEAD ') })
  } finally {
    client.socket.destroy()
  }
}

/** An error of the specification's shape, that nobody takes for a page. */
function assertError({ status, headers, body }: RawReply, what: string): void {
  assert.ok(status >= 400 && status < 500, `${what}: ${status}`)
  assert.equal(headers['content-type'], 'application/json', what)
  const { errors } = JSON.parse(body.toString()) as { errors: { code: string; message: string }[] }
  assert.match(errors[0]?.code ?? '', /^[A-Z_]+$/, what)
  assert.ok(errors[0]?.message, what)
}

suite('a path that leads elsewhere (X175, P6)', () => {
  for (const text of traversals)
    test(`is refused in every place: ${text.slice(0, 40)}`, async () => {
      const bait = 'nobody may read this'
      for (const place of ['.', 'data', 'data/cache'])
        await writeFile(join(berth.directory, place, 'bait'), bait)
      const asked = upstream.requests.length
      for (const target of targetsWith(text)) {
        const reply = await askRaw(`GET ${target} HTTP/1.1`)
        assertError(reply, target)
        assert.ok(!reply.body.includes(bait), target)
        assert.ok(!reply.body.includes('root:'), target)
      }
      assert.equal(upstream.requests.length, asked, 'the upstream was asked')
      assert.deepEqual(await strayFiles(berth.cache), ['bait'])
    })

  test('is rejected for each method', async () => {
    for (const method of ['HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'PROPFIND'])
      for (const target of targetsWith('..%2f..%2fbait')) {
        const { status } = await askRaw(`${method} ${target} HTTP/1.1`)
        assert.ok(status >= 400 && status < 500, `${method} ${target}: ${status}`)
      }
    assert.deepEqual(await strayFiles(berth.cache), [])
  })

  test('is not in the log', async () => {
    for (const target of targetsWith('..%2f..%2fbait')) await askRaw(`GET ${target} HTTP/1.1`)
    const log = JSON.stringify(berth.logs())
    assert.match(log, /"msg":"request"/)
    assert.doesNotMatch(log, /bait/)
  })
})

suite('another name for us (X177)', () => {
  const poison = [
    'Host: evil.example',
    'X-Forwarded-Host: evil.example',
    'X-Forwarded-Proto: https',
    'X-Forwarded-Prefix: /evil',
    'X-Forwarded-Port: 1',
    'X-Forwarded-For: 10.0.0.1',
    'Forwarded: host=evil.example;proto=https',
    'X-Original-URL: /v2/evil/tags/list',
    'X-Rewrite-URL: /v2/evil/tags/list',
    'X-HTTP-Method-Override: DELETE',
    'Referer: http://evil.example/',
    'Origin: http://evil.example',
    'Via: 1.1 evil.example',
    'Cookie: evil=1',
  ]

  test('changes neither a response nor the requests to the upstream', async () => {
    upstream.put(name, 'v2', image)
    const targets = [
      '/v2/',
      '/v2/_catalog?n=1',
      `/v2/${name}/tags/list?n=1`,
      `/v2/${name}/manifests/v1`,
      `/v2/${name}/blobs/${image.blobs[0]?.digest}`,
      `/v2/${name}/referrers/${image.digest}`,
      '/v2/nowhere/manifests/v1',
    ]
    for (const target of targets) {
      const poisoned = await askRaw(`GET ${target} HTTP/1.1`, ...poison)
      const plain = await askRaw(`GET ${target} HTTP/1.1`, 'Host: berth')
      assert.equal(poisoned.status, plain.status, target)
      assert.deepEqual(poisoned.body, plain.body, target)
      assert.doesNotMatch(JSON.stringify(poisoned.headers), /evil/, target)
    }
    const link = (await askRaw(`GET /v2/${name}/tags/list?n=1 HTTP/1.1`, ...poison)).headers['link']
    assert.equal(link, `</v2/${name}/tags/list?n=1&last=v1>; rel="next"`)
    assert.ok(upstream.requests.length > 0)
    assert.doesNotMatch(JSON.stringify(upstream.requests.map(askedOf)), /evil|forwarded|cookie/i)
    upstream.untag(name, 'v2')
  })

  test('does not change token requests', async () => {
    const registry = await startTokenRegistry(() => 'token')
    await berth.start({
      config: { hosts: ['evil.example'], upstreams: [{ url: registry.url }] },
    })
    await askRaw(`GET /v2/${name}/tags/list HTTP/1.1`, ...poison)
    const [token] = registry.server.requests.filter(({ path }) => path.startsWith('/token'))
    const { searchParams } = new URL(token?.path ?? '', registry.url)
    assert.deepEqual(Object.fromEntries(searchParams), {
      service: 'the registry',
      scope: `repository:${name}:pull`,
    })
    assert.doesNotMatch(JSON.stringify(registry.server.requests), /evil/)
    await registry.close()
  })

  test('in front of the path is rejected, also our own', async () => {
    const { host } = new URL(berth.url)
    for (const prefix of [
      'http://evil.example',
      `http://${host}`,
      'https://u:p@evil.example',
      '//',
    ])
      for (const path of ['/v2/', `/v2/${name}/manifests/v1`])
        assertError(await askRaw(`GET ${prefix}${path} HTTP/1.1`, `Host: ${host}`), prefix + path)
    assertError(await askRaw('OPTIONS * HTTP/1.1'), '*')
    assert.equal(berth.logs().filter(({ repository }) => repository === name).length, 0)
  })

  test('in a second Host header is rejected, and so is a missing Host, or one that is no host', async () => {
    for (const headers of [
      ['Host: berth', 'Host: evil.example'],
      ['Host: berth', 'Host: berth'],
      ['host: berth', 'HOST: evil.example'],
      ...['user@berth', 'a b', 'berth/v2', 'berth:x', 'bérth', '[::1', 'a,b/c'].map((host) => [
        `Host: ${host}`,
      ]),
      ['Accept: */*'],
    ])
      assertError(await askRaw(`GET /v2/${name}/manifests/v1 HTTP/1.1`, ...headers), headers.join())
    assert.equal((await askRaw('GET /v2/ HTTP/1.0', 'Accept: */*')).status, 200)
    for (const host of ['berth:', '[::1]:30026', '[fe80::1%25eth0]', 'a_b.svc'])
      assert.equal((await askRaw('GET /v2/ HTTP/1.1', `Host: ${host}`)).status, 200, host)
  })

  test('as a namespace is never contacted', async () => {
    const asked = upstream.requests.length
    for (const ns of [
      'other.example',
      '169.254.169.254',
      'metadata.google.internal',
      `127.0.0.1:${upstream.port}@evil.example`,
      `${new URL(upstream.url).host}.evil.example`,
      '127.0.0.1.evil.example',
      '__proto__',
      'constructor',
    ]) {
      const url = `${berth.url}/v2/${name}/manifests/v1?ns=${encodeURIComponent(ns)}`
      const { status } = await get(url)
      assert.equal(status, 404, ns)
    }
    assert.equal(upstream.requests.length, asked)
  })
})

function askedOf({ method, path, headers }: ScriptedUpstream['requests'][number]) {
  return { method, path, headers }
}

suite('a request whose end is a matter of opinion', () => {
  const smuggled = `GET /v2/smuggled/tags/list HTTP/1.1\r\nHost: berth\r\n\r\n`
  const target = `/v2/${name}/manifests/v1`

  test('is rejected, and what follows is not read', async () => {
    const heads: readonly (readonly string[])[] = [
      ['Content-Length: 0', `Content-Length: ${smuggled.length}`],
      [`Content-Length: ${smuggled.length}`, 'Transfer-Encoding: chunked'],
      ['Transfer-Encoding: chunked', 'Content-Length: 0'],
      ['Transfer-Encoding: chunked, identity'],
      ['Content-Length: 0, 0'],
      ['Content-Length: -1'],
      ['Content-Length: 0x10'],
      ['Content-Length: 99999999999999999999'],
      ['Content-Length : 5'],
      ['X: a\rb'],
      ['X: a\0b'],
    ]
    for (const method of ['GET', 'HEAD', 'POST', 'DELETE'])
      for (const headers of heads) {
        const client = await connectRaw(berth.url)
        client.ask(`${method} ${target} HTTP/1.1`, 'Host: berth', ...headers)
        client.send(`0\r\n\r\n${smuggled}`)
        assertError(await client.reply(), `${method} ${headers.join()}`)
        await client.closed
        assert.equal(client.rest().length, 0, `${method} ${headers.join()}`)
      }
    assert.equal(upstream.count('smuggled'), 0)
  })

  test('may have an unexpected body, which is ignored', async () => {
    for (const [framing, body] of [
      [`Content-Length: ${smuggled.length}`, smuggled],
      ['Transfer-Encoding: chunked', `${smuggled.length.toString(16)}\r\n${smuggled}\r\n0\r\n\r\n`],
    ] as const) {
      const client = await connectRaw(berth.url)
      client.ask(`GET ${target} HTTP/1.1`, 'Host: berth', framing)
      client.send(body)
      client.ask('GET /v2/ HTTP/1.1', 'Host: berth')
      assert.deepEqual((await client.reply()).body, image.bytes)
      assert.equal((await client.reply()).body.toString(), '{}')
      client.socket.destroy()
    }
    assert.equal(upstream.count('smuggled'), 0)
  })

  test('is answered before an unwanted body arrives', async () => {
    for (const [method, path] of [
      ['PUT', target],
      ['POST', `/v2/${name}/blobs/uploads/`],
      ['PATCH', `/v2/${name}/blobs/uploads/x`],
    ] as const)
      for (const framing of ['Content-Length: 1000000000', 'Transfer-Encoding: chunked'])
        for (const type of [
          'application/octet-stream',
          'application/json',
          'x',
          'multipart/form-data',
        ])
          assertError(
            await askRaw(`${method} ${path} HTTP/1.1`, 'Host: b', framing, `Content-Type: ${type}`),
            `${method} ${type}`,
          )
  })

  test('is not HTTP, and gets an error response', async () => {
    const asked = upstream.requests.length
    for (const line of [
      `GET ${target} HTTP/9.9`,
      `GET ${target} extra HTTP/1.1`,
      `get ${target} HTTP/1.1`,
      `G\0T ${target} HTTP/1.1`,
      `${'X'.repeat(3000)} ${target} HTTP/1.1`,
      `GET /v2/\x7f\x01 HTTP/1.1`,
      'PRI * HTTP/2.0',
      'SSH-2.0-OpenSSH_9.9',
      '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03',
    ]) {
      const reply = await askRaw(line)
      assertError(reply, line)
      assert.equal(reply.headers['connection'], 'close', line)
    }
    assert.equal(upstream.requests.length, asked)
  })
})

suite('more than anybody needs', () => {
  test('in a target or in headers is rejected', async () => {
    assertError(await askRaw(`GET /v2/${'a/'.repeat(2500)}tags/list HTTP/1.1`), 'target of 5 kB')
    assert.equal((await askRaw(`GET /${'a'.repeat(100_000)} HTTP/1.1`)).status, 431)
    assert.equal(
      (await askRaw('GET /v2/ HTTP/1.1', 'Host: b', `X: ${'x'.repeat(70_000)}`)).status,
      431,
    )
    const many = Array.from({ length: 20_000 }, (_, at) => `X-${at}: x`)
    assert.equal((await askRaw('GET /v2/ HTTP/1.1', 'Host: b', ...many)).status, 431)
  })

  test('in one header does not reach the comparison', async () => {
    const long = 'x'.repeat(20_000)
    const zeros = '0'.repeat(20_000)
    const path = `/v2/${name}/blobs/${image.blobs[0]?.digest}`
    await pullImage(berth, name, image)
    for (const header of [
      `Range: bytes=${zeros}-`,
      `Range: bytes=-${'9'.repeat(20_000)}`,
      `If-None-Match: ${long}`,
      `If-None-Match: ${'"a",'.repeat(5000)}`,
      `If-Range: ${long}`,
      `Accept: ${'a/b,'.repeat(5000)}`,
      `User-Agent: ${long}`,
    ]) {
      const { status, body } = await askRaw(`GET ${path} HTTP/1.1`, 'Host: b', header)
      assert.ok([200, 206].includes(status), `${header.slice(0, 30)}: ${status}`)
      assert.deepEqual(body, image.blobs[0]?.bytes, header.slice(0, 30))
    }
    for (const range of [`bytes=${'9'.repeat(20_000)}-`, `bytes=${'0-0,'.repeat(5000)}0-0`]) {
      const { status } = await askRaw(`GET ${path} HTTP/1.1`, 'Host: b', `Range: ${range}`)
      assert.equal(status, 416, range.slice(0, 20))
    }
    for (const line of berth.logs()) assert.ok(JSON.stringify(line).length < 2000)
  })

  test('of pages and numbers in a query is rejected, or results in a page', async () => {
    for (const query of ['n=-1', 'n=1e9', 'n=99999999999', 'n=', 'n=1;2', 'n=%00']) {
      const reply = await get(`${berth.url}/v2/${name}/tags/list?${query}`)
      assert.equal(reply.status, 400, query)
      assert.equal(codeOf(reply), 'UNSUPPORTED')
    }
    for (const query of [
      'last=%00',
      'last=%ff',
      'last=../../x',
      '__proto__=1',
      'n=1&n=x',
      '&&&=',
    ]) {
      const { status } = await get(`${berth.url}/v2/${name}/tags/list?${query}`)
      assert.equal(status, 200, query)
    }
  })

  test('different names and tags do not add metrics (X180)', async () => {
    const series = async () =>
      (await berth.service.telemetry.metrics.text())
        .split('\n')
        .filter((line) => /^(berth|registry)_/.test(line)).length
    const flood = async (from: number, to: number) => {
      for (let at = from; at < to; at += 50)
        await Promise.all(
          Array.from({ length: 50 }, (_, more) => {
            const random = `${at + more}`
            const path = [
              `/v2/r${random}/x/manifests/t${random}`,
              `/v2/${name}/manifests/t${random}`,
              `/v2/r${random}/tags/list`,
              `/v2/${name}/blobs/sha256:${random.padStart(64, '0')}`,
              `/v2/${name}/manifests/v1?ns=host${random}`,
              `/random${random}`,
              `/v2/local/r${random}/manifests/t`,
            ][more % 7]
            const headers = { 'user-agent': random, authorization: `Basic ${random}` }
            return get(`${berth.url}${path}`, { headers })
          }),
        )
    }
    await flood(0, 200)
    const some = await series()
    await flood(200, 1000)
    assert.equal(await series(), some)
  })

  test('is not shown on the address of the registry (X180)', async () => {
    for (const path of ['/metrics', '/readyz', '/livez', '/v2/metrics', '/debug/pprof'])
      assertError(await askRaw(`GET ${path} HTTP/1.1`), path)
  })
})

test('none of these requests stores anything', async () => {
  for (const text of traversals)
    await get(`${berth.url}/v2/p/i/manifests/${encodeURIComponent(text)}`)
  assert.deepEqual(await visibleBlobs(berth.cache), [])
})
