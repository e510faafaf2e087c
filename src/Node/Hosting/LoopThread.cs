namespace KvStore.Node.Hosting;

/// <summary>
/// A thread that turns a crank: each turn does the work at hand and answers how many milliseconds the thread may sleep (0:
/// turn again at once; <see cref="Timeout.Infinite"/>: until woken). An exception ends the thread and is reported once; what
/// it means for the node is not decided here.
/// </summary>
internal sealed class LoopThread : IDisposable
{
    private readonly Parking _parking = new();
    private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Func<int> _turn;
    private readonly bool _finishesWork;
    private readonly Action<string, Exception> _failed;
    private readonly Thread _thread;
    private volatile bool _stopping;

    /// <param name="name">Shown by debuggers and in the fatal log line.</param>
    /// <param name="turn">One turn; never called by two threads.</param>
    /// <param name="finishesWork">A stop waits until a turn has nothing more to do at once.</param>
    /// <param name="failed">Told the name and the exception of a failed turn, on this thread.</param>
    /// <param name="priority">Lower for work that can wait.</param>
    public LoopThread(
        string name, Func<int> turn, bool finishesWork, Action<string, Exception> failed, ThreadPriority priority = ThreadPriority.Normal)
    {
        _turn = turn;
        _finishesWork = finishesWork;
        _failed = failed;
        _thread = new Thread(Run) { Name = name, IsBackground = true, Priority = priority };
    }

    public void Start() => _thread.Start();

    /// <summary>Any thread. A wake-up that comes before the thread sleeps is not lost.</summary>
    public void Wake() => _parking.Wake();

    /// <summary>Completes when the thread has ended. Nothing to wait for when it was never started.</summary>
    public Task StopAsync()
    {
        _stopping = true;
        _parking.Wake();
        return _thread.ThreadState.HasFlag(ThreadState.Unstarted) ? Task.CompletedTask : _ended.Task;
    }

    public void Dispose() => _parking.Dispose();

    private void Run()
    {
        try
        {
            while (true)
            {
                var sleepMs = _turn();
                if (_stopping && (sleepMs != 0 || !_finishesWork))
                {
                    break;
                }

                if (sleepMs != 0)
                {
                    _parking.Sleep(sleepMs);
                }
            }
        }
        catch (Exception e) // the top of a loop we own: it stops here and says why
        {
            _failed(_thread.Name!, e);
        }
        finally
        {
            _ended.SetResult();
        }
    }
}
