using KvStore.Protocol;

namespace KvStore.Client;

public partial interface IKvStore
{
    /// <summary>Reads a key, at the level of the client or session unless <paramref name="read"/> says otherwise.</summary>
    ValueTask<KvRead> GetAsync(KvKey key, Read? read = null, CancellationToken cancellationToken = default);
}

public abstract partial class KvOperations
{
    private static readonly ReadEvidence NoEvidence = new(ReadLevel.Eventual, null, 0, 0, 0, "", ServedRole.Follower, ServedPath.Forwarded);

    public async ValueTask<KvRead> GetAsync(KvKey key, Read? read = null, CancellationToken cancellationToken = default)
    {
        KvReply reply = await RunAsync(
            new Get(key.Under(_prefix).Bytes.Span), read ?? DefaultRead, Unconditional, cancellationToken).ConfigureAwait(false);
        ReadEvidence evidence = reply.Evidence is { } proof ? EvidenceOf(proof) : NoEvidence;
        return reply.Result is Found found
            ? new KvRead(true, new KvValue(found.Value, found.ContentType), new KvRevision(found.Revision), evidence)
            : new KvRead(false, default, KvRevision.Absent, evidence);
    }
}

public sealed partial class KvBatch
{
    public KvBatch Get(KvKey key, Read? read = null) => Add(key, async (store, cancellation) =>
        new KvBatchItem(key, await store.GetAsync(key, read, cancellation).ConfigureAwait(false), null, null, null));
}
