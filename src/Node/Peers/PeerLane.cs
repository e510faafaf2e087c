namespace KvStore.Node.Peers;

/// <summary>
/// Payloads waiting to leave for one peer, bounded in bytes. Full: the payload is refused, and Raft sends what matters again. So is one
/// that needs a feature level which the process at the other end of the present connection does not know.
/// </summary>
internal sealed class PeerLane(long maxBytes)
{
    private readonly Queue<ReadOnlyMemory<byte>> _payloads = [];
    private long _bytes;
    private ushort _level;

    public bool TryEnqueue(ReadOnlyMemory<byte> payload, ushort level)
    {
        lock (_payloads)
        {
            // A payload is taken into an empty lane whatever its size: otherwise one above the bound could never leave.
            if (level > _level || (_bytes + payload.Length > maxBytes && _payloads.Count > 0))
            {
                return false;
            }

            _bytes += payload.Length;
            _payloads.Enqueue(payload);
            return true;
        }
    }

    public bool TryDequeue(out ReadOnlyMemory<byte> payload)
    {
        lock (_payloads)
        {
            if (!_payloads.TryDequeue(out payload))
            {
                return false;
            }

            _bytes -= payload.Length;
            return true;
        }
    }

    /// <summary>Another connection: what waited for the last one is dropped.</summary>
    public void Begin(ushort level)
    {
        lock (_payloads)
        {
            _level = level;
            _payloads.Clear();
            _bytes = 0;
        }
    }
}
