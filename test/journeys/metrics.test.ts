import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { type Berth, removeBerth, startBerth } from '../support/berth.ts'
import { get } from '../support/client.ts'

let berth: Berth

before(async () => {
  const credentials = { type: 'static', username: 'us', password: 'secret' }
  const upstreams = [{ prefix: 'team', url: 'http://127.0.0.1:1', credentials }]
  berth = await startBerth({ config: { upstreams } })
})
after(() => removeBerth(berth))

test('counters of an upstream begin at zero, so that the first event is an increase', async () => {
  const { body } = await get(`${berth.admin}/metrics`)
  for (const name of ['breaker_open', 'digest_mismatch_total', 'fill_resumes_total'])
    assert.match(body.toString(), new RegExp(`^berth_${name}\\{upstream="team"\\} 0$`, 'm'))
})
