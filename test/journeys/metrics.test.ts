import assert from 'node:assert/strict'
import { test } from 'node:test'
import { get } from '../support/client.ts'
import { useBerth } from '../support/use-berth.ts'

const credentials = { type: 'static', username: 'us', password: 'secret' }
const upstreams = [{ prefix: 'team', url: 'http://127.0.0.1:1', credentials }]
const berth = useBerth({ config: { upstreams } })

test('counters of an upstream begin at zero, so that the first event is an increase', async () => {
  const { body } = await get(`${berth.admin}/metrics`)
  for (const name of ['breaker_open', 'digest_mismatch_total', 'fill_resumes_total'])
    assert.match(body.toString(), new RegExp(`^berth_${name}\\{upstream="team"\\} 0$`, 'm'))
})
