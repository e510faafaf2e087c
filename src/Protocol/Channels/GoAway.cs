namespace KvStore.Protocol;

/// <summary>Why a node wants a connection to end. Numbers are on the wire.</summary>
public enum GoAwayReason : byte
{
    /// <summary>The node is about to stop.</summary>
    Draining = 1,

    /// <summary>What the connection was let in with is no longer valid.</summary>
    Revoked = 2,

    /// <summary>The node has too many connections.</summary>
    Overloaded = 3,
}

/// <summary>No new requests on this connection. Those that are open are answered, for drainMs at most.</summary>
public sealed record GoAway(GoAwayReason Reason, int DrainMs);
