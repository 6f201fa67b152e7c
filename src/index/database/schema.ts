/** Increased with each change of {@link schema}: a database of another version is made again. */
export const schemaVersion = 1

/**
 * Names and digests are stored once and referred to by id. `seen` is the number of the last
 * verification that found the row on the volume, or of the one during which it was added. Times in
 * milliseconds since the epoch, sizes in bytes.
 *
 * - `digests`: all that occur anywhere. `size` is NULL if the blob is not stored.
 * - `manifests`, `contents`: what manifests say, as long as a repository has them. The size of a
 *   manifest is with all that it references; `role` is config, layer, foreign or child.
 * - `configs`: what the configs of images say.
 * - `revisions`, `links`, `tags`: the repositories' manifests, blobs and tags. A link is `used`
 *   once a manifest of its repository has referenced the blob.
 * - `activity`, `tag_activity`: what the journal says.
 */
export const schema = `
CREATE TABLE facts (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE repositories (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE digests (
  id INTEGER PRIMARY KEY,
  digest TEXT NOT NULL UNIQUE,
  size INTEGER,
  modified INTEGER,
  seen INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE manifests (
  manifest INTEGER PRIMARY KEY,
  media_type TEXT NOT NULL,
  artifact_type TEXT,
  is_index INTEGER NOT NULL,
  subject INTEGER,
  config INTEGER,
  size INTEGER NOT NULL
);
CREATE INDEX manifests_by_config ON manifests (config) WHERE config IS NOT NULL;
CREATE INDEX manifests_by_subject ON manifests (subject) WHERE subject IS NOT NULL;
CREATE TABLE contents (
  manifest INTEGER NOT NULL,
  digest INTEGER NOT NULL,
  role TEXT NOT NULL,
  size INTEGER NOT NULL,
  platform TEXT,
  PRIMARY KEY (manifest, digest)
) WITHOUT ROWID;
CREATE INDEX contents_by_digest ON contents (digest);
CREATE TABLE configs (
  digest INTEGER PRIMARY KEY,
  platform TEXT,
  created INTEGER,
  expires_after TEXT
);
CREATE TABLE revisions (
  repository INTEGER NOT NULL,
  digest INTEGER NOT NULL,
  seen INTEGER NOT NULL,
  PRIMARY KEY (repository, digest)
) WITHOUT ROWID;
CREATE INDEX revisions_by_digest ON revisions (digest);
CREATE TABLE links (
  repository INTEGER NOT NULL,
  digest INTEGER NOT NULL,
  used INTEGER NOT NULL,
  seen INTEGER NOT NULL,
  PRIMARY KEY (repository, digest)
) WITHOUT ROWID;
CREATE INDEX links_by_digest ON links (digest);
CREATE TABLE tags (
  repository INTEGER NOT NULL,
  tag TEXT NOT NULL,
  digest INTEGER NOT NULL,
  at INTEGER NOT NULL,
  natural TEXT NOT NULL,
  seen INTEGER NOT NULL,
  PRIMARY KEY (repository, tag)
) WITHOUT ROWID;
CREATE INDEX tags_by_digest ON tags (repository, digest);
CREATE INDEX tags_in_order ON tags (repository, natural, tag);
CREATE TABLE activity (
  repository INTEGER NOT NULL,
  digest INTEGER NOT NULL,
  pulled_at INTEGER,
  pushed_at INTEGER,
  pushed_by TEXT,
  pinned_at INTEGER,
  pinned_by TEXT,
  PRIMARY KEY (repository, digest)
) WITHOUT ROWID;
CREATE TABLE tag_activity (
  repository INTEGER NOT NULL,
  tag TEXT NOT NULL,
  pulled_at INTEGER NOT NULL,
  PRIMARY KEY (repository, tag)
) WITHOUT ROWID;
`

/** All tables, for checks of the file in parts. */
export const tables: readonly string[] = [...schema.matchAll(/CREATE TABLE (\w+)/g)].flatMap(
  ([, name]) => (name === undefined ? [] : [name]),
)
