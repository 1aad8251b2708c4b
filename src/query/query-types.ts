// What the compiler knows of a query: its questions, their parameters and their answers.
import type { StandardSchemaV1 } from '@standard-schema/spec'
import type { Database } from 'better-sqlite3'
import type { AnyQuery } from './define-query.ts'
import type { AnswerWithSchema, QueryParameters } from './query.ts'

type AnswersOf<Definition extends AnyQuery> = NonNullable<Definition['answer']>

/** The questions that a query answers: `QuestionOf<typeof balance>`. */
export type QuestionOf<Definition extends AnyQuery> = keyof AnswersOf<Definition> & string

/** What a question takes. */
export type ParametersOf<
  Definition extends AnyQuery,
  Question extends QuestionOf<Definition>,
> = AnswersOf<Definition>[Question] extends infer Found
  ? Found extends { readonly parameters: infer Schema extends StandardSchemaV1 }
    ? Known<StandardSchemaV1.InferInput<Schema>>
    : Found extends (db: Database, parameters: infer Parameters) => unknown
      ? Known<Parameters>
      : never
  : never

/** A question that takes no parameters, or whose parameters nobody has typed, takes any. */
type Known<Parameters> = unknown extends Parameters
  ? QueryParameters
  : [Parameters] extends [never]
    ? QueryParameters
    : Parameters

/** What a question answers, as it comes out of JSON. */
export type AnswerOf<
  Definition extends AnyQuery,
  Question extends QuestionOf<Definition>,
> = AnswersOf<Definition>[Question] extends infer Found
  ? Found extends AnswerWithSchema<infer _Schema, infer Result>
    ? JsonOf<Awaited<Result>>
    : Found extends (db: Database, parameters: never) => infer Result
      ? JsonOf<Awaited<Result>>
      : never
  : never

/**
 * What is left of a value that was written as JSON and read again: dates are texts, `undefined` alone is null, fields that
 * are functions are gone.
 */
export type JsonOf<Value> = unknown extends Value ? unknown : Value extends undefined ? null : Field<Value>

type Field<Value> = unknown extends Value
  ? unknown
  : Value extends string | number | boolean | null
    ? Value
    : Value extends { toJSON(): infer Json }
      ? Json
      : Value extends readonly unknown[]
        ? { [Place in keyof Value]: JsonOf<Value[Place]> }
        : Value extends bigint | symbol | ((...parameters: never) => unknown)
          ? never
          : Value extends object
            ? {
                [Name in keyof Value as Value[Name] extends (...parameters: never) => unknown
                  ? never
                  : Name]: Field<Value[Name]>
              }
            : Value
