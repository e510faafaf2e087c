using System.Buffers;
using System.Buffers.Text;
using KvStore.Protocol;
using KvStore.Raft;

namespace KvStore.StateMachine;

/// <summary>A counter is a decimal int64 in ASCII. It keeps the content type it was put with; a new one is text/plain.</summary>
internal sealed class IncrementRule : KeyRule
{
    private const int MaxDigits = 20;

    private static ReadOnlySpan<byte> NewCounterType => "text/plain"u8;

    public override byte Code => Increment.OperationCode;

    private protected override Effect Decide(KeyWrite write, KeyState current, ArrayBufferWriter<byte> scratch)
    {
        var increment = (Increment)write;
        long number = increment.Initial;
        ReadOnlySpan<byte> type = NewCounterType;
        if (current.Exists
            && !(StoredValue.TrySplit(current.Stored, out type, out ReadOnlySpan<byte> text) && TryParse(text, out number)))
        {
            return Effect.Fail(ErrorCode.NotANumber);
        }

        long sum = unchecked(number + increment.Delta);
        if (((number ^ sum) & (increment.Delta ^ sum)) < 0)
        {
            return Effect.Fail(ErrorCode.NotANumber);
        }

        Span<byte> stored = scratch.GetSpan(1 + type.Length + MaxDigits);
        stored[0] = (byte)type.Length;
        type.CopyTo(stored[1..]);
        bool fits = Utf8Formatter.TryFormat(sum, stored[(1 + type.Length)..], out int digits);
        Invariant.Check(fits, "the buffer of a counter holds every int64");
        scratch.Advance(1 + type.Length + digits);
        return Effect.Put(scratch.WrittenSpan, created: false, sum);
    }

    private protected override Result ResultOf(in ExecutedOutcome outcome) => new Counted(outcome.Revision, outcome.Number);

    // Utf8Parser also takes a plus sign, which would be lost by the next increment.
    private static bool TryParse(ReadOnlySpan<byte> text, out long number)
    {
        number = 0;
        return text.Length > 0 && text[0] != (byte)'+'
            && Utf8Parser.TryParse(text, out number, out int consumed) && consumed == text.Length;
    }
}
