using KvStore.Protocol;

namespace KvStore.Replication.Tests;

/// <summary>Whoever sent a request; Reply is null while it waits.</summary>
internal sealed class WaitingClient : IReplySink
{
    public KvReply? Reply { get; private set; }

    public bool IsUnwanted { get; set; }

    public void Complete(KvReply reply) => Reply = reply;
}
