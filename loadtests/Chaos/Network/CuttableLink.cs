using System.Net;
using System.Net.Sockets;

namespace KvStore.LoadTests.Chaos.Network;

/// <summary>
/// A port on which one node dials another. While the link is cut nothing passes in either direction and nobody is told, as when
/// packets are dropped: connections stay open, new ones are accepted and lead nowhere. What was on its way then arrives
/// afterwards, however old it is, or is lost with its connection.
/// </summary>
internal sealed class CuttableLink : IAsyncDisposable
{
    private const int BufferBytes = 64 * 1024;

    private readonly Socket _listener = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
    private readonly IPEndPoint _target;
    private readonly CancellationTokenSource _closed = new();
    private readonly Lock _gate = new();
    private readonly HashSet<Socket> _sockets = [];
    private readonly Task _accepting;
    private TaskCompletionSource _passing = Passing();

    public CuttableLink(IPEndPoint target)
    {
        _target = target;
        _listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        _listener.Listen();
        _accepting = AcceptAsync();
    }

    public IPEndPoint Address => (IPEndPoint)_listener.LocalEndPoint!;

    public void Cut()
    {
        lock (_gate)
        {
            _passing = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        }
    }

    /// <param name="loseConnections">What is on its way is lost, and both ends notice now.</param>
    public void Heal(bool loseConnections)
    {
        lock (_gate)
        {
            if (loseConnections)
            {
                foreach (var socket in _sockets)
                {
                    socket.Dispose();
                }

                _sockets.Clear();
            }

            _passing.TrySetResult();
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _closed.CancelAsync();
        _listener.Dispose();
        Heal(loseConnections: true);
        await _accepting;
        _closed.Dispose();
    }

    private static TaskCompletionSource Passing()
    {
        var passing = new TaskCompletionSource();
        passing.SetResult();
        return passing;
    }

    private Task UntilPassingAsync()
    {
        lock (_gate)
        {
            return _passing.Task;
        }
    }

    private async Task AcceptAsync()
    {
        var relays = new List<Task>();
        try
        {
            while (true)
            {
                relays.Add(RelayAsync(await _listener.AcceptAsync(_closed.Token)));
                relays.RemoveAll(relay => relay.IsCompletedSuccessfully);
            }
        }
        catch (Exception e) when (e is OperationCanceledException or SocketException or ObjectDisposedException)
        {
            await Task.WhenAll(relays);
        }
    }

    private async Task RelayAsync(Socket near)
    {
        var far = new Socket(_target.AddressFamily, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        near.NoDelay = true;
        lock (_gate)
        {
            _sockets.Add(near);
            _sockets.Add(far);
        }

        try
        {
            await UntilPassingAsync();
            await far.ConnectAsync(_target, _closed.Token);
            await Task.WhenAny(PumpAsync(near, far), PumpAsync(far, near));
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException or OperationCanceledException)
        {
            // The target is not there: the dialling end learns it by the end of its connection.
        }
        finally
        {
            lock (_gate)
            {
                _sockets.Remove(near);
                _sockets.Remove(far);
            }

            near.Dispose();
            far.Dispose();
        }
    }

    private async Task PumpAsync(Socket from, Socket to)
    {
        byte[] buffer = new byte[BufferBytes];
        try
        {
            while (await from.ReceiveAsync(buffer, _closed.Token) is > 0 and var received)
            {
                await UntilPassingAsync();
                for (int sent = 0; sent < received;)
                {
                    sent += await to.SendAsync(buffer.AsMemory(sent, received - sent), _closed.Token);
                }
            }

            // The end of a connection does not pass a cut link either.
            await UntilPassingAsync();
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException or OperationCanceledException)
        {
            await UntilPassingAsync();
        }
    }
}
