using KvStore.Protocol;

namespace KvStore.Replication;

/// <summary>
/// What every request must satisfy, whatever door it came through: a client's, or another node's that passed it on. A refusal
/// costs the sender, not us.
/// </summary>
internal sealed class RequestRules(RequestLimits limits, RoutingTable routing)
{
    /// <summary>Null when the request is well formed; otherwise the refusal.</summary>
    public KvReply? Violation(KvRequest request)
    {
        if (request.Operation is < KvOperation.Get or > KvOperation.Batch)
        {
            return Invalid($"There is no operation {(byte)request.Operation}.");
        }

        if (request.TimeoutMs is < 1 or > Limits.MaxTimeoutMs)
        {
            return Invalid($"The timeout must be 1 to {Limits.MaxTimeoutMs} ms.");
        }

        if (request.MaxStalenessMs is < 0 or > Limits.MaxStalenessMs)
        {
            return Invalid($"The largest staleness must be 1 to {Limits.MaxStalenessMs} ms.");
        }

        if (request is { Operation: KvOperation.Get, Level: ReadLevel.Bounded, MaxStalenessMs: 0, MaxLag: null })
        {
            return Invalid("A bounded read names its largest staleness, its largest lag, or both.");
        }

        if (request.Id is { Sequence: > 0 } id && id.AckedBelow > id.Sequence)
        {
            return Invalid("The field ackedBelow must not pass the request's own sequence.");
        }

        return request.Operation == KvOperation.Batch ? BatchViolation(request) : ItemViolation(request);
    }

    private KvReply? BatchViolation(KvRequest request)
    {
        if (request.Items.Count is 0 or > Limits.MaxBatchItems)
        {
            return Invalid($"A batch has 1 to {Limits.MaxBatchItems} items.");
        }

        if (!request.Key.Span.SequenceEqual(request.Items[0].Key.Span))
        {
            return Invalid("The key of a batch is the key of its first item.");
        }

        GroupId group = routing.GroupOf(request.Items[0].Key.Span);
        long bytes = 0;
        foreach (KvRequest item in request.Items)
        {
            if (item.Operation is not (KvOperation.Put or KvOperation.Delete or KvOperation.Increment))
            {
                return Invalid("A batch holds puts, deletes and increments.");
            }

            if (ItemViolation(item) is { } refusal)
            {
                return refusal;
            }

            if (routing.GroupOf(item.Key.Span) != group)
            {
                return Replies.Refused(
                    ErrorCode.CrossGroupTransaction,
                    $"The keys lie in groups {group} and {routing.GroupOf(item.Key.Span)}; give them one hash tag {{…}}.");
            }

            bytes += item.Key.Length + item.Value.Length;
        }

        return bytes > limits.RequestBytes ? TooLarge("batch", bytes, "requestBytes", limits.RequestBytes) : null;
    }

    private KvReply? ItemViolation(KvRequest request)
    {
        if (request.Key.Length == 0)
        {
            return Invalid("The key is empty.");
        }

        if (request.Key.Length > limits.KeyBytes)
        {
            return TooLarge("key", request.Key.Length, "keyBytes", limits.KeyBytes);
        }

        if (request.Value.Length > limits.ValueBytes)
        {
            return TooLarge("value", request.Value.Length, "valueBytes", limits.ValueBytes);
        }

        if (request.ContentType is { } type)
        {
            if (type.Length > Limits.MaxContentTypeBytes)
            {
                return TooLarge("content type", type.Length, "contentTypeBytes", Limits.MaxContentTypeBytes);
            }

            if (!System.Text.Ascii.IsValid(type))
            {
                return Invalid("The content type must be ASCII.");
            }
        }

        return request.Condition.Kind > ConditionKind.Absent ? Invalid("There is no such condition.") : null;
    }

    private static KvReply Invalid(string detail) => Replies.Refused(ErrorCode.InvalidRequest, detail);

    private static KvReply TooLarge(string what, long bytes, string limitName, int limit) =>
        Replies.Refused(ErrorCode.TooLarge, $"The {what} has {bytes} bytes; the limit {limitName} is {limit}.");
}
