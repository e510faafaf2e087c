using System.Text;
using KvStore.Client.Routing;
using KvStore.Protocol;

namespace KvStore.Client;

/// <summary>The calls of <see cref="IKvStore"/>, as a client and a session make them alike.</summary>
public abstract partial class KvOperations : IKvStore
{
    private static readonly WriteOptions Unconditional = new();
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

    public async ValueTask<KvTransactionResult> TransactAsync(KvTransaction transaction, CancellationToken cancellationToken = default)
    {
        var options = transaction.Timeout is null ? Unconditional : new WriteOptions { Timeout = transaction.Timeout };
        KvReply reply = await AskAsync(transaction.ToOperation(_prefix), options, cancellationToken).ConfigureAwait(false);
        IReadOnlyList<ItemResult> items = reply.Result is BatchResult result ? result.Items : [];
        return new KvTransactionResult(
            reply.Code == ErrorCode.None,
            [.. items.Select(item => new KvTransactionItem(item.IsHeldBack ? ErrorCode.None : item.Code, new KvRevision(item.Result?.Revision ?? 0), (item.Result as Counted)?.Number))]);
    }

    public ValueTask<KvBatchResult> BatchAsync(KvBatch batch, CancellationToken cancellationToken = default) =>
        batch.RunAsync(this, _parallelism, cancellationToken);

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

    private async ValueTask<KvWrite> WriteAsync(KeyWriteCall call, CancellationToken cancellationToken) =>
        WriteOf(await AskAsync(call, cancellationToken).ConfigureAwait(false));

    private ValueTask<KvReply> AskAsync(KeyWriteCall call, CancellationToken cancellationToken) =>
        AskAsync(call.ToOperation(_prefix), call.Options ?? Unconditional, cancellationToken);

    private ValueTask<KvReply> AskAsync(WriteOperation operation, WriteOptions options, CancellationToken cancellationToken) =>
        RunAsync(operation, Read.Strong, options, cancellationToken);

    private ReadEvidence EvidenceOf(in Evidence evidence) => new(
        evidence.Level, evidence.AgeMs == Evidence.AgeUnknown ? null : TimeSpan.FromMilliseconds(evidence.AgeMs), evidence.Group.Value,
        evidence.Term, evidence.Applied, Calls.NameOf(evidence.Node), evidence.Role, evidence.Path);
}
