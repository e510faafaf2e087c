using System.Buffers;

namespace KvStore.Protocol;

/// <summary>
/// The frame of one connection of which something has come and something has not: how long that may last, and its part of the
/// memory for such frames. Used by the reading loop; only the timer calls from elsewhere.
/// </summary>
internal sealed class IncomingFrame
{
    private const long NotRunning = long.MinValue;

    private readonly RequestServers _servers;
    private readonly RequestServerOptions _options;
    private readonly Action _timedOut;
    private readonly Action _granted;

    // Guards the clock.
    private readonly Lock _gate = new();
    private long _begunAt = NotRunning;
    private bool _armed;
    private ITimer? _timer;

    private bool _isUnfinished;
    private FrameBudget.Claim? _claim;

    // timedOut: the time of a frame is over, on the timer's thread. granted: there is memory for it now, on any thread.
    public IncomingFrame(RequestServers servers, RequestServerOptions options, Action timedOut, Action granted)
    {
        _servers = servers;
        _options = options;
        _timedOut = timedOut;
        _granted = granted;
    }

    /// <summary>False: nothing more may be read until granted is called.</summary>
    public bool HasMemory => _claim is not { IsGranted: false };

    /// <summary>Others may be waiting for what this frame has been given.</summary>
    public bool HoldsMemory => _claim is { IsGranted: true };

    /// <summary>After what was received has been cut into frames.</summary>
    /// <param name="rest">What no frame was made of.</param>
    /// <param name="lookedAt">False: rest was left as it is and may hold whole frames.</param>
    /// <param name="isNew">A frame ended: rest begins with another one.</param>
    public void Look(in ReadOnlySequence<byte> rest, bool lookedAt, bool isNew)
    {
        if (isNew && _isUnfinished)
        {
            Forget();
        }

        _isUnfinished |= lookedAt && !rest.IsEmpty;
        if (_isUnfinished && _claim is null
            && FrameReader.AnnouncedBytes(rest, _options.MaxFrameBytes) is > FrameBudget.FreeBytes and var bytes)
        {
            _claim = _servers.Frames.Ask(bytes, _granted);
        }
    }

    /// <summary>We read again, or do not because of the client: the time of an unfinished frame runs.</summary>
    public void StartClock()
    {
        if (!_isUnfinished)
        {
            return;
        }

        lock (_gate)
        {
            if (_begunAt != NotRunning)
            {
                return;
            }

            _begunAt = _servers.Time.GetTimestamp();
            if (!_armed)
            {
                // Left running when the frame ends in time, which it does: it finds out when it fires.
                _armed = true;
                _timer ??= _servers.Time.CreateTimer(
                    static state => ((IncomingFrame)state!).OnTimer(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
                Arm(_options.FrameTimeoutMs);
            }
        }
    }

    /// <summary>We do not read for reasons of our own: that is not the client's fault, and the time begins again.</summary>
    public void StopClock()
    {
        lock (_gate)
        {
            _begunAt = NotRunning;
        }
    }

    /// <summary>The frame has ended, or nobody waits for its end.</summary>
    public void Forget()
    {
        _isUnfinished = false;
        StopClock();
        if (_claim is { } claim)
        {
            _claim = null;
            _servers.Frames.Return(claim);
        }
    }

    /// <summary>Nothing more will be read.</summary>
    public void Close()
    {
        Forget();
        _timer?.Dispose();
    }

    private void OnTimer()
    {
        lock (_gate)
        {
            if (_begunAt == NotRunning)
            {
                _armed = false;
                return;
            }

            double elapsed = _servers.Time.GetElapsedTime(_begunAt).TotalMilliseconds;
            if (elapsed < _options.FrameTimeoutMs)
            {
                Arm(_options.FrameTimeoutMs - elapsed);
                return;
            }
        }

        _timedOut();
    }

    private void Arm(double milliseconds) =>
        _timer!.Change(TimeSpan.FromMilliseconds(Math.Ceiling(milliseconds)), Timeout.InfiniteTimeSpan);
}
