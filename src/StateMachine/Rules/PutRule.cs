using System.Buffers;
using KvStore.Protocol;

namespace KvStore.StateMachine;

internal sealed class PutRule : KeyRule
{
    public override byte Code => Put.OperationCode;

    private protected override Effect Decide(KeyWrite write, KeyState current, ArrayBufferWriter<byte> scratch) =>
        Effect.Put(((Put)write).Stored.Span, created: !current.Exists);

    private protected override Result ResultOf(in ExecutedOutcome outcome) => new Written(outcome.Revision, outcome.Changed);
}
