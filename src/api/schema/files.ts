import { z } from 'zod'
import { bytes, count, digest, list } from './parts.ts'

const fileType = z.enum([
  'file',
  'directory',
  'symlink',
  'hardlink',
  'char',
  'block',
  'fifo',
  'whiteout',
  'opaque',
  'other',
])

const file = z
  .strictObject({
    path: z.string().describe('Relative to the root, without / at either end'),
    type: fileType,
    size: bytes,
    mode: count.describe('Permission bits'),
    uid: z.int(),
    gid: z.int(),
    modified: z.number().describe('Seconds since 1970'),
    link: z.string().optional(),
    layer: count.describe('Number of the layer that put it there'),
    isRemoved: z.boolean().describe('An upper layer hides it: the image does not have it'),
    isOpaque: z
      .boolean()
      .describe('Of a directory of one layer: it hides what lower layers have in it'),
    changes: list(
      z.strictObject({ layer: count, change: z.enum(['added', 'changed', 'removed']) }).readonly(),
    ).describe('What layers did to the path, if more than to add it'),
    below: z
      .strictObject({ files: count, size: bytes })
      .readonly()
      .optional()
      .describe('Of a directory: the files of the image in it, and in its directories'),
  })
  .readonly()
  .meta({ id: 'File' })

export const files = z
  .strictObject({
    name: z.string(),
    digest,
    path: z.string().describe('What is listed, after the symbolic links in the path'),
    file: file.optional().describe('What is there, if that is no directory; then `files` is empty'),
    files: list(file).describe('What is in the directory, removed files included'),
    next: z.string().optional().describe('`after` of the request for the next page'),
    totals: z
      .strictObject({
        files: count,
        directories: count,
        links: count,
        others: count,
        size: bytes,
        removed: count,
      })
      .readonly(),
    layers: list(
      z
        .strictObject({
          layer: count,
          from: z.enum(['contents', 'layer']).describe('contents: its table of contents was read'),
          size: bytes,
          hidden: count.describe('Files that upper layers replace or hide'),
        })
        .readonly(),
    ),
  })
  .readonly()
  .meta({ id: 'Files' })

const compared = z
  .strictObject({
    type: fileType,
    size: bytes,
    mode: count,
    uid: z.int(),
    gid: z.int(),
    link: z.string().optional(),
    layer: count,
  })
  .readonly()
  .meta({ id: 'ComparedFile' })

const counted = z.strictObject({ count, size: bytes }).readonly()

export const comparison = z
  .strictObject({
    name: z.string(),
    digest,
    toName: z.string(),
    to: digest,
    reading: z
      .strictObject({ read: bytes, size: bytes.describe('Of layers that have to be read') })
      .readonly()
      .optional()
      .describe('The layers are still read: everything below is empty'),
    config: list(
      z
        .strictObject({
          field: z.string().describe('Such as config.Env.PATH'),
          before: z.string().optional().describe('The value as JSON'),
          after: z.string().optional(),
        })
        .readonly(),
    ),
    files: list(
      z
        .strictObject({
          path: z.string(),
          change: z.enum(['added', 'removed', 'changed']),
          fields: list(z.enum(['type', 'size', 'mode', 'owner', 'link', 'content'])).optional(),
          before: compared.optional(),
          after: compared.optional(),
        })
        .readonly(),
    ),
    next: z.string().optional().describe('`after` of the request for the next page'),
    totals: z
      .strictObject({
        added: counted,
        removed: counted,
        changed: z.strictObject({ count, before: bytes, after: bytes }).readonly(),
      })
      .readonly()
      .describe('Of all files, also with a filter'),
  })
  .readonly()
  .meta({ id: 'Comparison', description: 'What differs between two images; times do not count' })
