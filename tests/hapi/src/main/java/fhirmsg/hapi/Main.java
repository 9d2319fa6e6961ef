package fhirmsg.hapi;

import ca.uhn.fhir.context.support.IValidationSupport;
import ca.uhn.fhir.jpa.api.config.JpaStorageSettings;
import ca.uhn.fhir.jpa.api.dao.IFhirSystemDao;
import ca.uhn.fhir.jpa.provider.IJpaSystemProvider;
import ca.uhn.fhir.jpa.provider.JpaCapabilityStatementProvider;
import ca.uhn.fhir.jpa.search.DatabaseBackedPagingProvider;
import ca.uhn.fhir.rest.server.RestfulServer;
import ca.uhn.fhir.rest.server.provider.ResourceProviderFactory;
import ca.uhn.fhir.rest.server.util.ISearchParamRegistry;
import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import java.io.IOException;
import java.io.PrintStream;
import org.eclipse.jetty.ee10.servlet.ServletContextHandler;
import org.eclipse.jetty.ee10.servlet.ServletHolder;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.ServerConnector;
import org.slf4j.LoggerFactory;
import org.springframework.context.ApplicationContext;
import org.springframework.context.annotation.AnnotationConfigApplicationContext;

/**
 * A real FHIR R4 server for the tests: HAPI on H2 in memory, at {@code /fhir} on 127.0.0.1.
 *
 * <p>The port is the first argument, else the system property {@code port}, else 0, which chooses
 * a free one. Standard output carries one line, {@code PORT=12345}, once requests are taken; the
 * log goes to standard error. The server lives as long as its standard input: whoever started it
 * holds the other end, so it cannot outlive them, however they die.
 */
public final class Main {

    private static final int DEFAULT_PAGE = 20;
    private static final int LARGEST_PAGE = 200;

    private Main() {}

    public static void main(String[] args) {
        endWithStandardInput();
        PrintStream out = System.out;
        System.setOut(System.err);
        ((Logger) LoggerFactory.getLogger(Logger.ROOT_LOGGER_NAME)).setLevel(Level.WARN);

        String port = args.length > 0 ? args[0] : System.getProperty("port", "0");
        try {
            ApplicationContext beans = new AnnotationConfigApplicationContext(Config.class);
            out.println("PORT=" + serve(fhirServlet(beans), Integer.parseInt(port)));
            out.flush();
        } catch (Throwable failure) {
            // Threads of the half-started server would keep the process alive.
            failure.printStackTrace();
            Runtime.getRuntime().halt(1);
        }
    }

    private static void endWithStandardInput() {
        Thread watch = new Thread(() -> {
            try {
                while (System.in.read() >= 0) {
                    // Nothing is expected; only the end matters.
                }
            } catch (IOException e) {
                // An input that cannot be read is as good as closed.
            }
            Runtime.getRuntime().halt(0);
        }, "end-with-standard-input");
        watch.setDaemon(true);
        watch.start();
    }

    private static RestfulServer fhirServlet(ApplicationContext beans) {
        IFhirSystemDao<?, ?> system = beans.getBean(IFhirSystemDao.class);
        DatabaseBackedPagingProvider pages = beans.getBean(DatabaseBackedPagingProvider.class);
        pages.setDefaultPageSize(DEFAULT_PAGE);
        pages.setMaximumPageSize(LARGEST_PAGE);

        RestfulServer servlet = new RestfulServer(system.getContext());
        servlet.registerProviders(beans.getBean(ResourceProviderFactory.class).createProviders());
        servlet.registerProvider(beans.getBean(IJpaSystemProvider.class));
        servlet.setServerConformanceProvider(new JpaCapabilityStatementProvider(
            servlet,
            system,
            beans.getBean(JpaStorageSettings.class),
            beans.getBean(ISearchParamRegistry.class),
            beans.getBean(IValidationSupport.class)));
        servlet.setPagingProvider(pages);
        return servlet;
    }

    private static int serve(RestfulServer servlet, int port) throws Exception {
        Server jetty = new Server();
        ServerConnector connector = new ServerConnector(jetty);
        connector.setHost("127.0.0.1");
        connector.setPort(port);
        jetty.addConnector(connector);
        ServletContextHandler root = new ServletContextHandler("/");
        ServletHolder fhir = new ServletHolder(servlet);
        fhir.setInitOrder(0);
        root.addServlet(fhir, "/fhir/*");
        jetty.setHandler(root);
        jetty.start();
        return connector.getLocalPort();
    }
}
