import type { FailureKind } from './failure.ts'
import type { Operations } from './operations.ts'

export type Call = {
  readonly id: number
  readonly operation: keyof Operations
  readonly args: readonly unknown[]
}

export type Reply<Value> =
  | { readonly id: number; readonly value: Value }
  | {
      readonly id: number
      readonly failure: { readonly kind: FailureKind; readonly message: string }
    }
