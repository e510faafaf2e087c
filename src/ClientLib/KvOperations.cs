using System.Text;
using KvStore.Client.Routing;
using KvStore.Protocol;

namespace KvStore.Client;

/// <summary>The calls of <see cref="IKvStore"/>, as a client and a session make them alike.</summary>
public abstract class KvOperations : IKvStore
{
    private static readonly WriteOptions Unconditional = new();
    private static readonly ReadEvidence NoEvidence = new(ReadLevel.Eventual, null, 0, 0, 0, "", ServedRole.Follower, ServedPath.Forwarded);
    private readonly byte[] _prefix;
    private readonly int _parallelism;

    private protected KvOperations(Calls calls, KvClientOptions options)
    {
        Calls = calls;
        _prefix = Encoding.UTF8.GetBytes(options.KeyPrefix);
        _parallelism = options.MaxBatchParallelism;
        Serializers = options.Serializers;
        Time = options.Time;
    }

    internal TimeProvider Time { get; }

    internal Calls Calls { get; }

    public KvSerializerProvider Serializers { get; }

    /// <summary>Level of reads that name none.</summary>
    private protected abstract Read DefaultRead { get; }

    /// <summary>That calls are made in; null where there is none.</summary>
    private protected abstract SessionState? Session { get; }

    public async ValueTask<KvRead> GetAsync(KvKey key, Read? read = null, CancellationToken cancellationToken = default)
    {
        KvReply reply = await RunAsync(
            new Get(key.Under(_prefix).Bytes.Span), read ?? DefaultRead, Unconditional, cancellationToken).ConfigureAwait(false);
        ReadEvidence evidence = reply.Evidence is { } proof ? EvidenceOf(proof) : NoEvidence;
        return reply.Result is Found found
            ? new KvRead(true, new KvValue(found.Value, found.ContentType), new KvRevision(found.Revision), evidence)
            : new KvRead(false, default, KvRevision.Absent, evidence);
    }

    public async ValueTask<KvWrite> PutAsync(
        KvKey key, KvValue value, WriteOptions? options = null, CancellationToken cancellationToken = default)
    {
        options ??= Unconditional;
        return WriteOf(await WriteAsync(
            KeyWrites.Put(key.Under(_prefix), value, options.Condition), options, cancellationToken)
            .ConfigureAwait(false));
    }

    public async ValueTask<KvWrite> DeleteAsync(KvKey key, WriteOptions? options = null, CancellationToken cancellationToken = default)
    {
        options ??= Unconditional;
        return WriteOf(await WriteAsync(
            KeyWrites.Delete(key.Under(_prefix), options.Condition), options, cancellationToken).ConfigureAwait(false));
    }

    public async ValueTask<long> IncrementAsync(
        KvKey key, long delta = 1, long initial = 0, WriteOptions? options = null, CancellationToken cancellationToken = default)
    {
        options ??= Unconditional;
        KvReply reply = await WriteAsync(
            KeyWrites.Increment(key.Under(_prefix), delta, initial, options.Condition), options, cancellationToken).ConfigureAwait(false);
        return reply.Result is Counted counted
            ? counted.Number
            : throw new KvException(reply.Code, $"the counter {key} is not as the condition says") { Outcome = reply.Outcome, Key = key };
    }

    public async ValueTask<KvWrite> AppendAsync(
        KvKey key, KvValue value, WriteOptions? options = null, CancellationToken cancellationToken = default)
    {
        options ??= Unconditional;
        return WriteOf(await WriteAsync(
            KeyWrites.Append(key.Under(_prefix), value, options.Condition), options, cancellationToken)
            .ConfigureAwait(false));
    }

    public async ValueTask<KvTransactionResult> TransactAsync(KvTransaction transaction, CancellationToken cancellationToken = default)
    {
        var options = transaction.Timeout is null ? Unconditional : new WriteOptions { Timeout = transaction.Timeout };
        KvReply reply = await WriteAsync(transaction.ToOperation(_prefix), options, cancellationToken).ConfigureAwait(false);
        IReadOnlyList<ItemResult> items = reply.Result is BatchResult result ? result.Items : [];
        return new KvTransactionResult(
            reply.Code == ErrorCode.None,
            [.. items.Select(item => new KvTransactionItem(item.IsHeldBack ? ErrorCode.None : item.Code, new KvRevision(item.Result?.Revision ?? 0), (item.Result as Counted)?.Number))]);
    }

    public async ValueTask<KvBatchResult> BatchAsync(KvBatch batch, CancellationToken cancellationToken = default)
    {
        var items = new KvBatchItem[batch.Calls.Count];
        var limit = new ParallelOptions { MaxDegreeOfParallelism = _parallelism, CancellationToken = cancellationToken };
        await Parallel.ForAsync(0, items.Length, limit, async (i, stop) =>
        {
            KvBatchCall call = batch.Calls[i];
            try
            {
                items[i] = await MakeAsync(call, stop).ConfigureAwait(false);
            }
            catch (KvException e)
            {
                items[i] = new KvBatchItem(call.Key, null, null, null, e);
            }
        }).ConfigureAwait(false);
        return new KvBatchResult(items);
    }

    private async ValueTask<KvBatchItem> MakeAsync(KvBatchCall call, CancellationToken cancellationToken)
    {
        KvRead? read = null;
        KvWrite? write = null;
        long? number = null;
        switch (call.Verb)
        {
            case KvBatchVerb.Get:
                read = await GetAsync(call.Key, call.Read, cancellationToken).ConfigureAwait(false);
                break;
            case KvBatchVerb.Put:
                write = await PutAsync(call.Key, call.Value, call.Options, cancellationToken).ConfigureAwait(false);
                break;
            case KvBatchVerb.Delete:
                write = await DeleteAsync(call.Key, call.Options, cancellationToken).ConfigureAwait(false);
                break;
            case KvBatchVerb.Append:
                write = await AppendAsync(call.Key, call.Value, call.Options, cancellationToken).ConfigureAwait(false);
                break;
            default:
                number = await IncrementAsync(call.Key, call.Delta, call.Initial, call.Options, cancellationToken).ConfigureAwait(false);
                break;
        }

        return new KvBatchItem(call.Key, read, write, number, null);
    }

    private ValueTask<KvReply> RunAsync(Operation operation, Read read, WriteOptions options, CancellationToken cancellationToken)
    {
        SessionState? session = Session;
        if (read.Token is { } token)
        {
            session = Calls.NewSession();
            session.Observe(token.Value);
        }

        TimeSpan? timeout = operation is WriteOperation ? options.Timeout : read.Timeout;
        return Calls.RunAsync(new Call(operation, read, options.Ack, timeout, session), cancellationToken);
    }

    private protected static KvWrite WriteOf(KvReply reply) => reply.Result switch
    {
        Written written => new KvWrite(WriteOutcome.Applied, new KvRevision(written.Revision), !written.Created),
        Deleted deleted => new KvWrite(WriteOutcome.Applied, new KvRevision(deleted.Revision), deleted.Existed),
        _ => new KvWrite(
            reply.Code == ErrorCode.None ? WriteOutcome.Applied : WriteOutcome.ConditionFailed, new KvRevision(reply.Revision), reply.Revision != 0),
    };

    private ValueTask<KvReply> WriteAsync(WriteOperation operation, WriteOptions options, CancellationToken cancellationToken) =>
        RunAsync(operation, Read.Strong, options, cancellationToken);

    private ReadEvidence EvidenceOf(in Evidence evidence) => new(
        evidence.Level, evidence.AgeMs == Evidence.AgeUnknown ? null : TimeSpan.FromMilliseconds(evidence.AgeMs), evidence.Group.Value,
        evidence.Term, evidence.Applied, Calls.NameOf(evidence.Node), evidence.Role, evidence.Path);
}
