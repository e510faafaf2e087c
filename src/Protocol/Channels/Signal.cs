using System.Threading.Tasks.Sources;

namespace KvStore.Protocol;

/// <summary>
/// Wakes one waiting loop; any number of Set before it looks count as one. The waiter continues on the pool, and on the
/// thread that sets only where that is asked for. After End a waiter is told to stop, once what was set before has been seen. Waiting allocates nothing: there is one
/// waiter, and it waits again only when it was woken.
/// </summary>
internal sealed class Signal : IValueTaskSource<bool>
{
    private readonly Lock _gate = new();
    private ManualResetValueTaskSourceCore<bool> _core = new() { RunContinuationsAsynchronously = true };
    private bool _isSet;
    private bool _isEnded;
    private bool _isAwaited;

    /// <param name="here">What the waiter does until it waits again, it does before this returns.</param>
    public void Set(bool here = false)
    {
        lock (_gate)
        {
            if (_isEnded || !_isAwaited)
            {
                _isSet |= !_isEnded;
                return;
            }

            _isAwaited = false;
            _core.RunContinuationsAsynchronously = !here;
        }

        _core.SetResult(true);
    }

    public void End()
    {
        lock (_gate)
        {
            _isEnded = true;
            if (!_isAwaited)
            {
                return;
            }

            _isAwaited = false;
            _core.RunContinuationsAsynchronously = true;
        }

        _core.SetResult(false);
    }

    /// <summary>False: ended.</summary>
    public ValueTask<bool> WaitAsync()
    {
        lock (_gate)
        {
            if (_isSet || _isEnded)
            {
                bool wasSet = _isSet;
                _isSet = false;
                return ValueTask.FromResult(wasSet);
            }

            _core.Reset();
            _isAwaited = true;
            return new ValueTask<bool>(this, _core.Version);
        }
    }

    bool IValueTaskSource<bool>.GetResult(short token) => _core.GetResult(token);

    ValueTaskSourceStatus IValueTaskSource<bool>.GetStatus(short token) => _core.GetStatus(token);

    void IValueTaskSource<bool>.OnCompleted(
        Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _core.OnCompleted(continuation, state, token, flags);
}
