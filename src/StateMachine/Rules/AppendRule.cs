using System.Buffers;
using KvStore.Protocol;

namespace KvStore.StateMachine;

/// <summary>
/// The limit is the protocol's and not the configuration's: it decides what is written, so it must be the same on every replica and in
/// every replay.
/// </summary>
internal sealed class AppendRule : KeyRule
{
    public override byte Code => Append.OperationCode;

    private protected override Effect Decide(KeyWrite write, KeyState current, ArrayBufferWriter<byte> scratch)
    {
        var append = (Append)write;
        if (!current.Exists)
        {
            return Effect.Put(append.Stored.Span, created: true);
        }

        StoredValue.TrySplit(current.Stored, out _, out ReadOnlySpan<byte> value);
        if (value.Length + append.Value.Length > Limits.MaxValueBytes)
        {
            return Effect.Fail(ErrorCode.TooLarge);
        }

        scratch.Write(current.Stored);
        scratch.Write(append.Value.Span);
        return Effect.Put(scratch.WrittenSpan, created: false);
    }

    private protected override Result ResultOf(in ExecutedOutcome outcome) => new Written(outcome.Revision, outcome.Changed);
}
