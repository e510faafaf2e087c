using KvStore.Protocol;

namespace KvStore.Client;

/// <summary>Conditions and terms of a write. At most one condition.</summary>
public sealed record WriteOptions
{
    /// <summary>Only if the key is not there.</summary>
    public static WriteOptions Create { get; } = new() { IfAbsent = true };

    /// <summary>Only if the key is there.</summary>
    public static WriteOptions Replace { get; } = new() { IfExists = true };

    /// <summary>Only if the key has this revision; <see cref="KvRevision.Absent"/>: only if it is not there.</summary>
    public KvRevision? IfRevision { get; init; }

    public bool IfAbsent { get; init; }

    public bool IfExists { get; init; }

    /// <summary>Who must have it on disk before the answer: a majority, unless said otherwise.</summary>
    public WriteAck Ack { get; init; }

    /// <summary>For all attempts together; null means the client's <see cref="KvClientOptions.Timeout"/>.</summary>
    public TimeSpan? Timeout { get; init; }

    internal KvCondition Condition
    {
        get
        {
            if ((IfRevision is null ? 0 : 1) + (IfAbsent ? 1 : 0) + (IfExists ? 1 : 0) > 1)
            {
                throw new ArgumentException("A write has one condition: IfRevision, IfAbsent or IfExists.");
            }

            return IfAbsent || IfRevision is { IsAbsent: true } ? new KvCondition(ConditionKind.Absent)
                : IfExists ? new KvCondition(ConditionKind.Exists)
                : IfRevision is { } revision ? new KvCondition(ConditionKind.RevisionIs, revision.Value)
                : KvCondition.None;
        }
    }
}
