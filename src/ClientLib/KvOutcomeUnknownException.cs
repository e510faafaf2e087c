using KvStore.Protocol;

namespace KvStore.Client;

/// <summary>
/// A write may or may not have taken effect. Sending it again is safe only under the same id, within the idempotency window:
/// <see cref="KvClient.ResolveAsync"/> does that.
/// </summary>
public sealed class KvOutcomeUnknownException(string message, RequestId? id, Exception? inner = null)
    : KvException(ErrorCode.Indeterminate, message, inner)
{
    /// <summary>The id the write was sent with; null when it had none: then nothing tells a repetition from a second write.</summary>
    public RequestId? Id { get; } = id;

    /// <summary>What was asked, to ask it again under the same id.</summary>
    internal KvRequest? Request { get; init; }
}
