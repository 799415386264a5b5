# coldbackup's control, and its command line. Agents need systemd and the services of their host: they are installed
# there, see docs/install-agents.md.
FROM node:22.22.2-bookworm-slim AS build
WORKDIR /opt/coldbackup
COPY package.json package-lock.json ./
RUN npm ci --no-audit --no-fund
COPY . .
RUN npm run build && npm prune --omit=dev --no-audit --no-fund

FROM node:22.22.2-bookworm-slim
ENV NODE_ENV=production
WORKDIR /opt/coldbackup
COPY --from=build /opt/coldbackup/package.json ./
COPY --from=build /opt/coldbackup/node_modules ./node_modules
COPY --from=build /opt/coldbackup/dist ./dist
COPY deploy/control ./deploy/control
RUN chmod +x dist/cli/main.js \
  && ln -s /opt/coldbackup/dist/cli/main.js /usr/local/bin/coldbackup \
  && install -d -m 0750 -o node -g node /var/lib/coldbackup/reports
USER node
VOLUME /var/lib/coldbackup/reports
HEALTHCHECK --interval=30s --timeout=10s --retries=3 --start-period=1m \
  CMD ["node", "/opt/coldbackup/deploy/control/polls.mjs"]
ENTRYPOINT ["node", "/opt/coldbackup/dist/cli/main.js"]
CMD ["control", "/etc/coldbackup/sites", "--reports", "/var/lib/coldbackup/reports"]
