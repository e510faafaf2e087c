using KvStore.Protocol;

namespace KvStore.Client;

public partial interface IKvStore
{
    /// <summary>
    /// Adds to a counter and returns it: a decimal 64-bit integer in ASCII, which <see cref="KvValue"/> makes of a number. Counted once,
    /// however often the call had to be sent.
    /// </summary>
    /// <param name="key">The counter.</param>
    /// <param name="delta">What is added; negative counts down.</param>
    /// <param name="initial">What an absent key holds before the delta.</param>
    /// <param name="options">A condition, and terms.</param>
    /// <param name="cancellationToken">Ends the waiting, not the write.</param>
    /// <exception cref="KvException">NotANumber: the value is none, or would leave 64 bits. ConditionFailed.</exception>
    ValueTask<long> IncrementAsync(
        KvKey key, long delta = 1, long initial = 0, WriteOptions? options = null, CancellationToken cancellationToken = default);
}

public abstract partial class KvOperations
{
    public async ValueTask<long> IncrementAsync(
        KvKey key, long delta = 1, long initial = 0, WriteOptions? options = null, CancellationToken cancellationToken = default)
    {
        KvReply reply = await AskAsync(KeyWriteCall.Increment(key, delta, initial, options), cancellationToken).ConfigureAwait(false);
        return reply.Result is Counted counted
            ? counted.Number
            : throw new KvException(reply.Code, $"the counter {key} is not as the condition says") { Outcome = reply.Outcome, Key = key };
    }
}

public sealed partial class KvBatch
{
    public KvBatch Increment(KvKey key, long delta = 1, long initial = 0, WriteOptions? options = null) => Add(key, async (store, cancellation) =>
        new KvBatchItem(key, null, null, await store.IncrementAsync(key, delta, initial, options, cancellation).ConfigureAwait(false), null));
}

public sealed partial class KvTransaction
{
    public KvTransaction Increment(KvKey key, long delta = 1, long initial = 0, WriteOptions? options = null) =>
        Add(KeyWriteCall.Increment(key, delta, initial, options));
}

internal readonly partial record struct KeyWriteCall
{
    public static KeyWriteCall Increment(KvKey key, long delta, long initial, WriteOptions? options) =>
        new(key, options, (full, condition) => new Increment(full.Span, delta, initial, condition));
}
