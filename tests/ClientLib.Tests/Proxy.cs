using System.Net;
using System.Net.Sockets;

namespace KvStore.Client.Tests;

/// <summary>Between a client and a node: cuts the way back after so many bytes, or swallows everything.</summary>
internal sealed class Proxy : IAsyncDisposable
{
    private readonly IPEndPoint _node;
    private readonly Socket _listener = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
    private readonly CancellationTokenSource _stopping = new();
    private readonly List<Task> _connections = [];
    private readonly Task _accepting;
    private long _leftBack = long.MaxValue;
    private int _cuts;
    private volatile bool _swallows;

    public Proxy(IPEndPoint node)
    {
        _node = node;
        _listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        _listener.Listen();
        _accepting = AcceptAsync();
    }

    public string Endpoint => $"kv://{_listener.LocalEndPoint}";

    /// <summary>Connections cut so far.</summary>
    public int Cuts => Volatile.Read(ref _cuts);

    /// <summary>Bytes that went back, all connections together.</summary>
    public long BytesBack { get; private set; }

    /// <summary>What goes either way is taken and goes nowhere.</summary>
    public bool Swallows
    {
        get => _swallows;
        set => _swallows = value;
    }

    /// <summary>The connection that carries the byte after so many is cut there; later ones are left alone.</summary>
    public void CutAfter(long bytes) => Interlocked.Exchange(ref _leftBack, bytes);

    public async ValueTask DisposeAsync()
    {
        await _stopping.CancelAsync();
        _listener.Dispose();
        await _accepting;
        await Task.WhenAll(_connections);
        _stopping.Dispose();
    }

    private async Task AcceptAsync()
    {
        try
        {
            while (true)
            {
                Socket client = await _listener.AcceptAsync(_stopping.Token);
                _connections.Add(Task.Run(() => ServeAsync(client)));
            }
        }
        catch (Exception e) when (e is OperationCanceledException or SocketException or ObjectDisposedException)
        {
        }
    }

    private async Task ServeAsync(Socket client)
    {
        using (client)
        using (var node = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp))
        {
            try
            {
                await node.ConnectAsync(_node, _stopping.Token);
                await Task.WhenAny(CopyAsync(client, node, back: false), CopyAsync(node, client, back: true));
            }
            catch (Exception e) when (e is OperationCanceledException or SocketException)
            {
            }
        }
    }

    private async Task CopyAsync(Socket from, Socket to, bool back)
    {
        byte[] buffer = new byte[16 << 10];
        try
        {
            while (true)
            {
                int read = await from.ReceiveAsync(buffer, SocketFlags.None, _stopping.Token);
                if (read == 0)
                {
                    return;
                }

                if (_swallows)
                {
                    continue;
                }

                long left = back ? Interlocked.Add(ref _leftBack, -read) : 1;
                int passed = left < 0 ? (int)Math.Max(0, read + left) : read;
                await to.SendAsync(buffer.AsMemory(0, passed), SocketFlags.None, _stopping.Token);
                BytesBack += back ? passed : 0;
                if (left < 0)
                {
                    Interlocked.Exchange(ref _leftBack, long.MaxValue);
                    Interlocked.Increment(ref _cuts);
                    return;
                }
            }
        }
        catch (Exception e) when (e is OperationCanceledException or SocketException or ObjectDisposedException)
        {
        }
    }
}
