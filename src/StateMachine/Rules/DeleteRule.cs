using System.Buffers;
using KvStore.Protocol;

namespace KvStore.StateMachine;

internal sealed class DeleteRule : KeyRule
{
    public override byte Code => Delete.OperationCode;

    private protected override Effect Decide(KeyWrite write, KeyState current, ArrayBufferWriter<byte> scratch) =>
        Effect.Remove(current.Exists);

    private protected override Result ResultOf(in ExecutedOutcome outcome) => new Deleted(outcome.Revision, outcome.Changed);
}
