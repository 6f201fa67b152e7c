import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { loadConfig } from '../../src/config/config.ts'

let directory: string

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'berth-ambient-'))
})
after(() => rm(directory, { recursive: true, force: true }))

function ambientIn(environment: Readonly<Record<string, string>>) {
  return loadConfig({ flags: {}, set: [], environment }).ambient
}

test("the Google credentials file is $GOOGLE_APPLICATION_CREDENTIALS, or else gcloud's if it exists", async () => {
  const CLOUDSDK_CONFIG = join(directory, 'gcloud')
  assert.equal(ambientIn({ CLOUDSDK_CONFIG }).googleCredentials, undefined)
  await mkdir(CLOUDSDK_CONFIG)
  const own = join(CLOUDSDK_CONFIG, 'application_default_credentials.json')
  await writeFile(own, '{}')
  assert.equal(ambientIn({ CLOUDSDK_CONFIG }).googleCredentials, own)
  const GOOGLE_APPLICATION_CREDENTIALS = '/named.json'
  const named = ambientIn({ CLOUDSDK_CONFIG, GOOGLE_APPLICATION_CREDENTIALS })
  assert.equal(named.googleCredentials, '/named.json')
})

test("executables in Google's credential configurations get the environment, if they are allowed to run", () => {
  const PATH = '/bin'
  for (const allowed of ['', '0', 'true'])
    assert.equal(
      ambientIn({ PATH, GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES: allowed }).googleExecutables,
      undefined,
    )
  const environment = { PATH, GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES: '1' }
  assert.equal(ambientIn(environment).googleExecutables?.['PATH'], '/bin')
})
