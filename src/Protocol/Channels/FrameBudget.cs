namespace KvStore.Protocol;

/// <summary>
/// Memory for frames that have begun and not ended, over all connections of a node. A frame is given all that its header announces
/// or nothing: were it given what has come of it, connections that each hold half a frame could all wait for each other. Who gets
/// nothing is not read from until it does, in the order of asking. A frame of at most <see cref="FreeBytes"/> asks for nothing, so
/// that the ordinary request never stands behind large ones.
/// </summary>
public sealed class FrameBudget
{
    /// <summary>Sixteen of the largest requests at once.</summary>
    public const long DefaultBytes = 16L * (FrameHeader.SizeBytes + Limits.MaxRequestBytes);

    public const int FreeBytes = 64 << 10;

    private readonly Lock _gate = new();
    private readonly long _limit;
    private readonly LinkedList<Claim> _waiting = [];
    private long _reserved;

    /// <param name="limit">Bytes. A single frame above it still gets through when no other is unfinished.</param>
    public FrameBudget(long limit)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(limit, 1);
        _limit = limit;
    }

    public long ReservedBytes
    {
        get
        {
            lock (_gate)
            {
                return _reserved;
            }
        }
    }

    /// <summary>Frames that are not read on because there is no room.</summary>
    public int Waiting
    {
        get
        {
            lock (_gate)
            {
                return _waiting.Count;
            }
        }
    }

    /// <summary>Granted is called when that happens later, not when it happens here; on any thread, and must not block.</summary>
    internal Claim Ask(int bytes, Action granted)
    {
        var claim = new Claim(bytes, granted);
        lock (_gate)
        {
            if (_waiting.Count == 0 && Fits(claim))
            {
                Take(claim);
            }
            else
            {
                _waiting.AddLast(claim);
            }
        }

        return claim;
    }

    /// <summary>The frame is whole, or will never be.</summary>
    internal void Return(Claim claim)
    {
        List<Claim>? granted = null;
        lock (_gate)
        {
            if (claim.IsGranted)
            {
                _reserved -= claim.Bytes;
            }
            else
            {
                _waiting.Remove(claim);
            }

            while (_waiting.First is { } first && Fits(first.Value))
            {
                _waiting.RemoveFirst();
                Take(first.Value);
                (granted ??= []).Add(first.Value);
            }
        }

        foreach (var next in granted ?? [])
        {
            next.Granted();
        }
    }

    private bool Fits(Claim claim) => _reserved == 0 || _reserved + claim.Bytes <= _limit;

    private void Take(Claim claim)
    {
        _reserved += claim.Bytes;
        claim.IsGranted = true;
    }

    /// <summary>One frame's part of the budget.</summary>
    internal sealed class Claim(int bytes, Action granted)
    {
        private volatile bool _isGranted;

        public int Bytes => bytes;

        public Action Granted => granted;

        public bool IsGranted
        {
            get => _isGranted;
            set => _isGranted = value;
        }
    }
}
