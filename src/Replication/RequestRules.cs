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
        Refusal? violation = Envelope(request) ?? request.Operation.Violation(limits) ?? Placement(request.Operation);
        return violation is { } refusal ? Replies.Refused(refusal.Code, refusal.Detail) : null;
    }

    private static Refusal? Envelope(KvRequest request)
    {
        if (request.Requires != Requirements.None)
        {
            return new Refusal(ErrorCode.Unsupported, $"This node cannot do what the request requires: {TextOf(request.Requires)}.");
        }

        if (request.TimeoutMs is < 1 or > Limits.MaxTimeoutMs)
        {
            return Refusal.Invalid($"The timeout must be 1 to {Limits.MaxTimeoutMs} ms.");
        }

        if (request.Read.MaxStalenessMs is < 0 or > Limits.MaxStalenessMs)
        {
            return Refusal.Invalid($"The largest staleness must be 1 to {Limits.MaxStalenessMs} ms.");
        }

        if (!request.IsWrite && request.Read is { Level: ReadLevel.Bounded, MaxStalenessMs: 0, MaxLag: null })
        {
            return Refusal.Invalid("A bounded read names its largest staleness, its largest lag, or both.");
        }

        if (OperationTable.Find(request.Operation.Code) is { Answer: AnswerForm.InParts } row)
        {
            return Refusal.Invalid($"The operation {row.Name} is answered in parts and needs a stream.");
        }

        return request.Id is { Sequence: > 0 } id && id.AckedBelow > id.Sequence
            ? Refusal.Invalid("The field ackedBelow must not pass the request's own sequence.")
            : null;
    }

    /// <summary>By name what has one: a reserved field that holds something asks for its bit, whether its sender set it or not.</summary>
    private static string TextOf(Requirements bits)
    {
        List<string> named = [];
        foreach ((Requirements bit, string field) in new[] { (Requirements.Principal, "principal"), (Requirements.Namespace, "namespace") })
        {
            if ((bits & bit) != 0)
            {
                named.Add($"a {field} (the field of that name must be nil, and bit {(ulong)bit:x} of requires 0)");
                bits &= ~bit;
            }
        }

        if (bits != Requirements.None)
        {
            named.Add($"the bits {(ulong)bits:x} of requires, which a newer build may know");
        }

        return string.Join(", and ", named);
    }

    /// <summary>All keys of a write lie in one group.</summary>
    private Refusal? Placement(Operation operation)
    {
        if (operation is not WriteOperation { KeyCount: > 1 } write)
        {
            return null;
        }

        GroupId group = routing.GroupOf(write.Key.Span);
        for (int i = 1; i < write.KeyCount; i++)
        {
            GroupId other = routing.GroupOf(write.KeyAt(i).Span);
            if (other != group)
            {
                return new Refusal(
                    ErrorCode.CrossGroupTransaction, $"The keys lie in groups {group} and {other}; give them one hash tag {{…}}.");
            }
        }

        return null;
    }
}
