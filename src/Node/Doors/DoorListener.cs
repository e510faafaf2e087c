using System.Net;
using System.Net.Sockets;
using KvStore.Node.Http;
using KvStore.Node.Logging;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;

namespace KvStore.Node.Doors;

/// <summary>Where a door listens, and the places it has.</summary>
internal sealed class DoorEndPoint(IPEndPoint at, Places places, bool inline) : IPEndPoint(at.Address, at.Port)
{
    /// <summary>
    /// What has come is looked at by the thread that read it, which reads for other connections, too: whoever serves this door only decodes and
    /// posts, waits for nothing, and goes to the pool now and then (<see cref="Protocol.InlineTurns"/>).
    /// </summary>
    public bool IsInline => inline;

    public Places Places => places;
}

/// <summary>
/// Accepts for Kestrel, in place of its own listener, which knows no limit before the request and turns in a circle when the process has no
/// descriptor left. A connection has its <see cref="Place"/> before Kestrel sees it (a feature of the connection), and
/// <see cref="ServeAsync"/> gives it back.
/// </summary>
internal sealed class DoorListenerFactory(ILoggerFactory logs) : IConnectionListenerFactory
{
    public ValueTask<IConnectionListener> BindAsync(EndPoint endpoint, CancellationToken cancellationToken = default) =>
        new(new DoorListener((DoorEndPoint)endpoint, logs));

    /// <summary>Outermost layer of every connection.</summary>
    public static async Task ServeAsync(ConnectionContext connection, ConnectionDelegate next)
    {
        Place place = connection.Features.GetRequiredFeature<Place>();
        try
        {
            await next(connection);
        }
        finally
        {
            place.Dispose();
        }
    }

    private sealed class DoorListener : IConnectionListener
    {
        /// <summary>Connections that the system keeps until we accept them.</summary>
        private const int Backlog = 1024;

        /// <summary>After a failed accept, and while every place is taken by somebody who is about to go.</summary>
        private const int PauseMs = 10;
        private static readonly TimeSpan LineInterval = TimeSpan.FromSeconds(60);

        private readonly Places _places;
        private readonly Socket _socket;
        private readonly SocketConnectionContextFactory _connections;
        private readonly LogThrottle _notAccepted = new(TimeProvider.System, LineInterval);
        private readonly ILogger _log;

        public DoorListener(DoorEndPoint at, ILoggerFactory logs)
        {
            _places = at.Places;
            _log = logs.CreateLogger("KvStore.Node");
            _connections = new SocketConnectionContextFactory(
                new SocketConnectionFactoryOptions { MaxReadBufferSize = HttpLimits.MaxReadBufferBytes, UnsafePreferInlineScheduling = at.IsInline },
                logs.CreateLogger<SocketConnectionContextFactory>());
            _socket = new Socket(at.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
            try
            {
                _socket.Bind(new IPEndPoint(at.Address, at.Port));
                _socket.Listen(Backlog);
            }
            catch (SocketException e)
            {
                _socket.Dispose();
                throw e.SocketErrorCode == SocketError.AddressAlreadyInUse ? new AddressInUseException(e.Message, e) : e;
            }

            EndPoint = _socket.LocalEndPoint!;
        }

        public EndPoint EndPoint { get; }

        public async ValueTask<ConnectionContext?> AcceptAsync(CancellationToken cancellationToken = default)
        {
            while (true)
            {
                try
                {
                    while (_places.IsFull)
                    {
                        await Task.Delay(PauseMs, cancellationToken);
                    }

                    if (Enter(await _socket.AcceptAsync(cancellationToken)) is { } connection)
                    {
                        return connection;
                    }
                }
                catch (Exception e) when (e is ObjectDisposedException or SocketException { SocketErrorCode: SocketError.OperationAborted })
                {
                    return null; // the door is closed
                }
                catch (SocketException e)
                {
                    // Out of descriptors, or the client was gone before we looked.
                    if (_notAccepted.TryEnter(out long leftOut))
                    {
                        NodeLog.AcceptFailed(_log, e.Message, leftOut);
                    }

                    await Task.Delay(PauseMs, cancellationToken);
                }
            }
        }

        public ValueTask UnbindAsync(CancellationToken cancellationToken = default)
        {
            _socket.Dispose();
            return default;
        }

        public ValueTask DisposeAsync()
        {
            _socket.Dispose();
            _connections.Dispose();
            return default;
        }

        private ConnectionContext? Enter(Socket socket)
        {
            Place? place = null;
            try
            {
                place = _places.TryEnter(socket.RemoteEndPoint);
                if (place is not null)
                {
                    socket.NoDelay = true;
                    ConnectionContext connection = _connections.Create(socket);
                    connection.Features.Set(place);
                    return connection;
                }
            }
            catch (SocketException)
            {
                place?.Dispose();
                place = null;
            }

            socket.Dispose();
            return null;
        }
    }
}
