namespace KvStore.Protocol;

public enum ConnectionEndReason : byte
{
    /// <summary>This side closed it.</summary>
    Closed = 0,

    /// <summary>The other side closed it between two frames.</summary>
    ClosedByPeer = 1,

    /// <summary>The transport failed or ended in the middle of a frame, or a request handler threw.</summary>
    Failed = 2,

    /// <summary>Bytes that are not a frame; see <see cref="ConnectionEnd.FrameError"/>.</summary>
    MalformedFrame = 3,

    /// <summary>A frame that does not belong here: an unexpected kind, an id that is not open, a body that is no reply.</summary>
    ProtocolViolation = 4,

    /// <summary>A request got no reply for so long that none will come.</summary>
    Unresponsive = 5,

    /// <summary>A frame began and did not end in time.</summary>
    FrameTimedOut = 6,
}

/// <summary>Why a connection is over, for logs and counters.</summary>
public sealed record ConnectionEnd(ConnectionEndReason Reason, FrameError FrameError = FrameError.None, Exception? Exception = null)
{
    /// <summary>With <see cref="ConnectionEndReason.ProtocolViolation"/>: what the other side did, as a clause.</summary>
    public string? Violation { get; init; }
}
