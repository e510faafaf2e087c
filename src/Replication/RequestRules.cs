using KvStore.Protocol;

namespace KvStore.Replication;

/// <summary>What every request must satisfy, whatever door it came through. A refusal costs the sender, not us.</summary>
internal static class RequestRules
{
    /// <summary>Null when the request is well formed; otherwise the refusal.</summary>
    public static KvReply? Violation(KvRequest request, RoutingTable routing)
    {
        if (request.Operation is < KvOperation.Get or > KvOperation.Batch)
        {
            return Invalid($"unknown operation {(byte)request.Operation}");
        }

        if (request.TimeoutMs is < 1 or > Limits.MaxTimeoutMs)
        {
            return Invalid($"the timeout must be 1 to {Limits.MaxTimeoutMs} ms");
        }

        if (request.MaxStalenessMs is < 0 or > Limits.MaxStalenessMs)
        {
            return Invalid($"the largest staleness must be 1 to {Limits.MaxStalenessMs} ms");
        }

        if (request is { Operation: KvOperation.Get, Level: ReadLevel.Bounded, MaxStalenessMs: 0, MaxLag: null })
        {
            return Invalid("a bounded read names its largest staleness, its largest lag, or both");
        }

        if (request.Id is { Sequence: > 0 } id && id.AckedBelow > id.Sequence)
        {
            return Invalid("ackedBelow must not pass the request's own sequence");
        }

        return request.Operation == KvOperation.Batch ? BatchViolation(request, routing) : ItemViolation(request);
    }

    private static KvReply? BatchViolation(KvRequest request, RoutingTable routing)
    {
        if (request.Items.Count is 0 or > Limits.MaxBatchItems)
        {
            return Invalid($"a batch has 1 to {Limits.MaxBatchItems} items");
        }

        if (!request.Key.Span.SequenceEqual(request.Items[0].Key.Span))
        {
            return Invalid("the key of a batch is the key of its first item");
        }

        GroupId group = routing.GroupOf(request.Items[0].Key.Span);
        long bytes = 0;
        foreach (KvRequest item in request.Items)
        {
            if (item.Operation is not (KvOperation.Put or KvOperation.Delete or KvOperation.Increment))
            {
                return Invalid("a batch holds puts, deletes and increments");
            }

            if (ItemViolation(item) is { } refusal)
            {
                return refusal;
            }

            if (routing.GroupOf(item.Key.Span) != group)
            {
                return Replies.Refused(
                    ErrorCode.CrossGroupTransaction,
                    $"the keys lie in groups {group} and {routing.GroupOf(item.Key.Span)}; give them one hash tag {{…}}");
            }

            bytes += item.Key.Length + item.Value.Length;
        }

        return bytes > Limits.MaxRequestBytes ? TooLarge("batch", bytes, Limits.MaxRequestBytes) : null;
    }

    private static KvReply? ItemViolation(KvRequest request)
    {
        if (request.Key.Length == 0)
        {
            return Invalid("the key is empty");
        }

        if (request.Key.Length > Limits.MaxKeyBytes)
        {
            return TooLarge("key", request.Key.Length, Limits.MaxKeyBytes);
        }

        if (request.Value.Length > Limits.MaxValueBytes)
        {
            return TooLarge("value", request.Value.Length, Limits.MaxValueBytes);
        }

        if (request.ContentType is { } type)
        {
            if (type.Length > Limits.MaxContentTypeBytes)
            {
                return TooLarge("content type", type.Length, Limits.MaxContentTypeBytes);
            }

            if (!System.Text.Ascii.IsValid(type))
            {
                return Invalid("the content type must be ASCII");
            }
        }

        return request.Condition.Kind > ConditionKind.Absent ? Invalid("unknown condition") : null;
    }

    private static KvReply Invalid(string detail) => Replies.Refused(ErrorCode.InvalidRequest, detail);

    private static KvReply TooLarge(string what, long bytes, int limit) =>
        Replies.Refused(ErrorCode.TooLarge, $"the {what} has {bytes} bytes, the limit is {limit}");
}
