using System.Globalization;
using System.Text;
using KvStore.Client;
using KvStore.Protocol;

namespace KvStore.Testing;

/// <summary>
/// A store that is a dictionary, for unit tests of what is given an <see cref="IKvStore"/>. It answers as a cluster does, conditions, counters,
/// transactions and limits included, and every read is strong: what a follower might not have yet, or what happens when a node dies, only a
/// <see cref="KvTestCluster"/> shows. Safe for any number of threads.
/// </summary>
public sealed class InMemoryKvStore : IKvStore
{
    private static readonly RequestLimits RequestLimits = new();

    private readonly Lock _gate = new();
    private readonly Dictionary<KvKey, Entry> _entries = [];
    private readonly Queue<Exception> _failures = new();
    private ulong _revision;

    private readonly record struct Entry(ReadOnlyMemory<byte> Value, string? ContentType, ulong Revision)
    {
        public bool Exists => Revision != 0;
    }

    /// <summary>What a write came to: a code, and the entry as it would be then.</summary>
    private readonly record struct Verdict(ErrorCode Code, Entry Entry, long? Number = null, ulong Revision = 0);

    public KvSerializerProvider Serializers { get; init; } = KvSerializerProvider.Json;

    /// <summary>Keys that are there, in their order.</summary>
    public IReadOnlyList<KvKey> Keys
    {
        get
        {
            lock (_gate)
            {
                return [.. _entries.Keys.Order()];
            }
        }
    }

    /// <summary>The next call that no earlier one of these was for throws this and does nothing. Each call of a batch counts as one.</summary>
    public void FailNext(Exception exception)
    {
        lock (_gate)
        {
            _failures.Enqueue(exception);
        }
    }

    public ValueTask<KvRead> GetAsync(KvKey key, Read? read = null, CancellationToken cancellationToken = default)
    {
        lock (_gate)
        {
            Enter(new Get(key.Bytes.Span), cancellationToken);
            Entry entry = _entries.GetValueOrDefault(key);
            var evidence = new ReadEvidence(ReadLevel.Strong, TimeSpan.Zero, 1, 1, _revision, "memory", ServedRole.Leader, ServedPath.Local);
            return ValueTask.FromResult(
                new KvRead(entry.Exists, entry.Exists ? new KvValue(entry.Value, entry.ContentType) : default, new KvRevision(entry.Revision), evidence));
        }
    }

    public ValueTask<KvWrite> PutAsync(KvKey key, KvValue value, WriteOptions? options = null, CancellationToken cancellationToken = default) =>
        WriteAsync(KeyWriteCall.Put(key, value, options), cancellationToken);

    public ValueTask<KvWrite> DeleteAsync(KvKey key, WriteOptions? options = null, CancellationToken cancellationToken = default) =>
        WriteAsync(KeyWriteCall.Delete(key, options), cancellationToken);

    public ValueTask<KvWrite> AppendAsync(KvKey key, KvValue value, WriteOptions? options = null, CancellationToken cancellationToken = default) =>
        WriteAsync(KeyWriteCall.Append(key, value, options), cancellationToken);

    public ValueTask<long> IncrementAsync(
        KvKey key, long delta = 1, long initial = 0, WriteOptions? options = null, CancellationToken cancellationToken = default)
    {
        Verdict verdict = Write(KeyWriteCall.Increment(key, delta, initial, options).ToOperation(default), cancellationToken, out _);
        return verdict.Number is { } number ? ValueTask.FromResult(number) : throw Failure(verdict.Code, key);
    }

    public ValueTask<KvTransactionResult> TransactAsync(KvTransaction transaction, CancellationToken cancellationToken = default)
    {
        lock (_gate)
        {
            Batch batch = transaction.ToOperation(default);
            Enter(batch, cancellationToken);
            if (batch.Items.FirstOrDefault(item => Slot.Of(item.Key.Span) != Slot.Of(batch.Key.Span)) is { } stray)
            {
                throw new KvException(
                    ErrorCode.CrossGroupTransaction, $"{new KvKey(batch.Key)} and {new KvKey(stray.Key)} may lie in different groups; give them one hash tag {{…}}.");
            }

            // Each sees what those before it would write.
            var after = new Dictionary<KvKey, Entry>();
            var verdicts = new Verdict[batch.Items.Count];
            for (int i = 0; i < verdicts.Length; i++)
            {
                KvKey key = new(batch.Items[i].Key);
                Entry current = after.TryGetValue(key, out Entry pending) ? pending : _entries.GetValueOrDefault(key);
                verdicts[i] = Judge(batch.Items[i], current, _revision + (ulong)i + 1);
                if (verdicts[i].Code == ErrorCode.None)
                {
                    after[key] = verdicts[i].Entry;
                }
            }

            bool applied = Array.TrueForAll(verdicts, verdict => verdict.Code == ErrorCode.None);
            var items = new KvTransactionItem[verdicts.Length];
            for (int i = 0; i < items.Length; i++)
            {
                items[i] = applied
                    ? new KvTransactionItem(ErrorCode.None, new KvRevision(_revision + (ulong)i + 1), verdicts[i].Number)
                    : new KvTransactionItem(
                        verdicts[i].Code, new KvRevision(_entries.GetValueOrDefault(new KvKey(batch.Items[i].Key)).Revision), null);
            }

            _revision += (ulong)items.Length;
            if (applied)
            {
                foreach ((KvKey key, Entry entry) in after)
                {
                    Store(key, entry);
                }
            }

            return ValueTask.FromResult(new KvTransactionResult(applied, items));
        }
    }

    public ValueTask<KvBatchResult> BatchAsync(KvBatch batch, CancellationToken cancellationToken = default) =>
        batch.RunAsync(this, parallelism: 1, cancellationToken);

    private ValueTask<KvWrite> WriteAsync(KeyWriteCall call, CancellationToken cancellationToken)
    {
        KeyWrite write = call.ToOperation(default);
        Verdict verdict = Write(write, cancellationToken, out Entry before);
        return verdict.Code switch
        {
            ErrorCode.None => ValueTask.FromResult(new KvWrite(WriteOutcome.Applied, new KvRevision(verdict.Revision), before.Exists)),
            ErrorCode.ConditionFailed => ValueTask.FromResult(new KvWrite(WriteOutcome.ConditionFailed, new KvRevision(before.Revision), before.Exists)),
            _ => throw Failure(verdict.Code, new KvKey(write.Key)),
        };
    }

    private Verdict Write(KeyWrite write, CancellationToken cancellationToken, out Entry before)
    {
        lock (_gate)
        {
            Enter(write, cancellationToken);
            KvKey key = new(write.Key);
            before = _entries.GetValueOrDefault(key);
            Verdict verdict = Judge(write, before, ++_revision);
            if (verdict.Code == ErrorCode.None)
            {
                Store(key, verdict.Entry);
            }

            return verdict with { Revision = _revision };
        }
    }

    private void Store(KvKey key, Entry entry)
    {
        if (entry.Exists)
        {
            _entries[key] = entry;
        }
        else
        {
            _entries.Remove(key);
        }
    }

    private void Enter(Operation operation, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        if (_failures.TryDequeue(out Exception? failure))
        {
            throw failure;
        }

        if (operation.Violation(RequestLimits) is { } violation)
        {
            throw new KvException(violation.Code, violation.Detail) { Outcome = Outcome.NotApplied, Key = new KvKey(operation.Key) };
        }
    }

    private static Verdict Judge(KeyWrite write, Entry current, ulong revision)
    {
        bool holds = write.Condition.Kind switch
        {
            ConditionKind.None => true,
            ConditionKind.RevisionIs => current.Exists && current.Revision == write.Condition.Revision,
            ConditionKind.Exists => current.Exists,
            _ => !current.Exists,
        };
        return !holds
            ? new Verdict(ErrorCode.ConditionFailed, current)
            : write switch
            {
                Put put => new Verdict(ErrorCode.None, new Entry(put.Value, put.ContentType, revision)),
                Append append => Append(append, current, revision),
                Increment increment => Count(increment, current, revision),
                _ => new Verdict(ErrorCode.None, default),
            };
    }

    private static Verdict Append(Append append, Entry current, ulong revision)
    {
        if (!current.Exists)
        {
            return new Verdict(ErrorCode.None, new Entry(append.Value, StoredValue.ContentTypeOf(append.Stored.Span), revision));
        }

        return current.Value.Length + append.Value.Length > Limits.MaxValueBytes
            ? new Verdict(ErrorCode.TooLarge, current)
            : new Verdict(ErrorCode.None, current with { Value = (byte[])[.. current.Value.Span, .. append.Value.Span], Revision = revision });
    }

    private static Verdict Count(Increment increment, Entry current, ulong revision)
    {
        long number = increment.Initial;
        if (current.Exists && !long.TryParse(current.Value.Span, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out number)
            || (current.Exists && current.Value.Span[0] == (byte)'+'))
        {
            return new Verdict(ErrorCode.NotANumber, current);
        }

        long sum = unchecked(number + increment.Delta);
        if (((number ^ sum) & (increment.Delta ^ sum)) < 0)
        {
            return new Verdict(ErrorCode.NotANumber, current);
        }

        byte[] text = Encoding.ASCII.GetBytes(sum.ToString(CultureInfo.InvariantCulture));
        return new Verdict(ErrorCode.None, new Entry(text, current.Exists ? current.ContentType : KvValue.TextType, revision), sum);
    }

    private static KvException Failure(ErrorCode code, KvKey key) => new(code, code switch
    {
        ErrorCode.ConditionFailed => $"the counter {key} is not as the condition says",
        ErrorCode.NotANumber => $"the value of {key} is no decimal 64-bit integer, or would leave 64 bits",
        _ => $"the value of {key} would be above {Limits.MaxValueBytes} bytes",
    })
    {
        Outcome = Outcome.NotApplied,
        Key = key,
    };
}
